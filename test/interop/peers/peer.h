// What the peers over other TLS libraries share: arguments of the form name=value, and lines of digits that go there and come
// back. A client expects its line in reverse; a server sends back what it gets. Each prints a line for everything that happens.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char **arguments;

static const char *text(const char *name, const char *otherwise) {
  size_t length = strlen(name);
  for (char **at = arguments; *at != NULL; at++) {
    if (strncmp(*at, name, length) == 0 && (*at)[length] == '=') {
      return *at + length + 1;
    }
  }
  return otherwise;
}

static int number(const char *name) {
  return atoi(text(name, "0"));
}

static void makeLine(char *line, int length) {
  for (int i = 0; i < length - 1; i++) {
    line[i] = '0' + rand() % 10;
  }
  line[length - 1] = '\n';
}

static const char *reversed(const char *line, const char *reply, int length) {
  for (int i = 0; i < length - 1; i++) {
    if (reply[i] != line[length - 2 - i]) {
      return "something else";
    }
  }
  return "the line";
}

static int dial(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number("port"))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int socketId = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(socketId, (struct sockaddr *)&address, sizeof address) != 0) {
    perror("connect");
    exit(1);
  }
  return socketId;
}

static int listenAnywhere(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  int socketId = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(socketId, (struct sockaddr *)&address, length) != 0 || listen(socketId, 10) != 0) {
    perror("listen");
    exit(1);
  }
  getsockname(socketId, (struct sockaddr *)&address, &length);
  printf("listening %d\n", ntohs(address.sin_port));
  return socketId;
}

static void begin(char **values) {
  arguments = values + 1;
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
}
