// A client and a server over wolfSSL. Arguments: see `peer.h` and the tests.

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "peer.h"

static void failed(const char *what, WOLFSSL *ssl, int result) {
  WOLFSSL_ALERT_HISTORY alerts = {{-1, -1}, {-1, -1}};
  char reason[80] = "";
  wolfSSL_get_alert_history(ssl, &alerts);
  wolfSSL_ERR_error_string(wolfSSL_get_error(ssl, result), reason);
  printf("failed %s: %s (alert %d came, %d went)\n", what, reason, alerts.last_rx.code, alerts.last_tx.code);
}

static WOLFSSL_CTX *makeContext(int isServer) {
  int is12 = number("version") == 12;
  WOLFSSL_METHOD *method = isServer ? (is12 ? wolfTLSv1_2_server_method() : wolfTLSv1_3_server_method())
                                    : (is12 ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
  WOLFSSL_CTX *context = wolfSSL_CTX_new(method);
  int bad = 0;
  if (text("ca", NULL) != NULL) {
    bad |= wolfSSL_CTX_load_verify_locations(context, text("ca", NULL), NULL) != WOLFSSL_SUCCESS;
  }
  if (text("cert", NULL) != NULL) {
    bad |= wolfSSL_CTX_use_certificate_chain_file(context, text("cert", NULL)) != WOLFSSL_SUCCESS;
    bad |= wolfSSL_CTX_use_PrivateKey_file(context, text("key", NULL), SSL_FILETYPE_PEM) != WOLFSSL_SUCCESS;
  }
  if (isServer) {
    int asks = WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    wolfSSL_CTX_set_verify(context, text("ca", NULL) != NULL ? asks : WOLFSSL_VERIFY_NONE, NULL);
  }
  if (text("groups", NULL) != NULL) {
    bad |= wolfSSL_CTX_set1_groups_list(context, (char *)text("groups", NULL)) != WOLFSSL_SUCCESS;
  }
  if (number("pskKe") != 0) {
    wolfSSL_CTX_no_dhe_psk(context);
  }
  if (bad) {
    puts("bad arguments");
    exit(1);
  }
  return context;
}

static void offer(WOLFSSL *ssl) {
  const char *protocols = text("alpn", NULL);
  if (protocols != NULL) {
    wolfSSL_UseALPN(ssl, (char *)protocols, strlen(protocols), WOLFSSL_ALPN_FAILED_ON_MISMATCH);
  }
}

static void told(const char *what, WOLFSSL *ssl) {
  char *protocol = "";
  unsigned short length = 0;
  wolfSSL_ALPN_GetProtocol(ssl, &protocol, &length);
  printf("%s %s %s alpn %.*s %s\n", what, wolfSSL_get_version(ssl), wolfSSL_get_cipher(ssl), length, protocol,
         wolfSSL_session_reused(ssl) ? "resumed" : "full");
}

static void exchange(WOLFSSL *ssl, int length, int piece) {
  char *line = malloc(length);
  char *reply = malloc(length);
  makeLine(line, length);
  for (int at = 0; at < length; at += piece) {
    int size = length - at < piece ? length - at : piece;
    int result = wolfSSL_write(ssl, line + at, size);
    if (result != size) {
      failed("write", ssl, result);
      return;
    }
  }
  for (int got = 0; got < length;) {
    int result = wolfSSL_read(ssl, reply + got, length - got);
    if (result <= 0) {
      failed("read", ssl, result);
      return;
    }
    got += result;
  }
  printf("back came %s\n", reversed(line, reply, length));
  free(line);
  free(reply);
}

static void runClient(void) {
  WOLFSSL_CTX *context = makeContext(0);
  WOLFSSL_SESSION *session = NULL;
  for (int i = 0; i < number("visits"); i++) {
    WOLFSSL *ssl = wolfSSL_new(context);
    int connection = dial();
    wolfSSL_set_fd(ssl, connection);
    wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, "localhost", 9);
    wolfSSL_check_domain_name(ssl, "localhost");
    offer(ssl);
    if (number("ticket") != 0) {
      wolfSSL_UseSessionTicket(ssl);
    }
    if (number("noShares") != 0) {
      wolfSSL_NoKeyShares(ssl);
    }
    if (session != NULL) {
      wolfSSL_set_session(ssl, session);
    }
    int result = wolfSSL_connect(ssl);
    if (result != WOLFSSL_SUCCESS) {
      failed("connect", ssl, result);
    } else {
      told("visit", ssl);
      exchange(ssl, 100000, 1 << 20);
      if (number("update") != 0 && wolfSSL_update_keys(ssl) != WOLFSSL_SUCCESS) {
        failed("update", ssl, result);
      }
      exchange(ssl, 200, 1);
      session = wolfSSL_get1_session(ssl);
      result = wolfSSL_shutdown(ssl);
      if (result == WOLFSSL_SHUTDOWN_NOT_DONE) {
        result = wolfSSL_shutdown(ssl);
      }
      puts(result == WOLFSSL_SUCCESS ? "closed" : "closed badly");
    }
    wolfSSL_free(ssl);
    close(connection);
  }
}

static void runServer(void) {
  static char data[1 << 17];
  WOLFSSL_CTX *context = makeContext(1);
  int listener = listenAnywhere();
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    WOLFSSL *ssl = wolfSSL_new(context);
    wolfSSL_set_fd(ssl, connection);
    offer(ssl);
    if (number("cookie") != 0) {
      wolfSSL_send_hrr_cookie(ssl, NULL, 0);
    }
    int result = wolfSSL_accept(ssl);
    if (result != WOLFSSL_SUCCESS) {
      failed("accept", ssl, result);
    } else {
      told("accepted", ssl);
      while ((result = wolfSSL_read(ssl, data, sizeof data)) > 0) {
        if (number("update") != 0) {
          wolfSSL_update_keys(ssl);
        }
        wolfSSL_write(ssl, data, result);
      }
      wolfSSL_shutdown(ssl);
    }
    wolfSSL_free(ssl);
    close(connection);
  }
}

int main(int count, char **values) {
  begin(values);
  wolfSSL_Init();
  if (count > 1 && strcmp(values[1], "server") == 0) {
    runServer();
  }
  runClient();
  return 0;
}
