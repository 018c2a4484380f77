// A client and a server over Mbed TLS, TLS 1.2. Arguments: see `peer.h` and the tests.

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>

#include "peer.h"

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context generator;
static mbedtls_x509_crt own, authority;
static mbedtls_pk_context key;
static mbedtls_ssl_config config;
static mbedtls_ssl_cache_context cache;
static mbedtls_ssl_ticket_context tickets;
static const char *protocols[2];

static void failed(const char *what, int result) {
  char reason[120] = "";
  mbedtls_strerror(result, reason, sizeof reason);
  printf("failed %s: -0x%04x %s\n", what, -result, reason);
}

static void configure(int isServer) {
  int bad = 0;
  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&generator);
  mbedtls_x509_crt_init(&own);
  mbedtls_x509_crt_init(&authority);
  mbedtls_pk_init(&key);
  mbedtls_ssl_config_init(&config);
  bad |= mbedtls_ctr_drbg_seed(&generator, mbedtls_entropy_func, &entropy, NULL, 0);
  bad |= mbedtls_ssl_config_defaults(&config, isServer ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
  mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &generator);
  mbedtls_ssl_conf_min_version(&config, 3, 3);
  mbedtls_ssl_conf_max_version(&config, 3, 3);
  mbedtls_ssl_conf_authmode(&config, text("ca", NULL) ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
  if (text("ca", NULL) != NULL) {
    bad |= mbedtls_x509_crt_parse_file(&authority, text("ca", NULL));
    mbedtls_ssl_conf_ca_chain(&config, &authority, NULL);
  }
  if (text("cert", NULL) != NULL) {
    bad |= mbedtls_x509_crt_parse_file(&own, text("cert", NULL));
#if MBEDTLS_VERSION_MAJOR >= 3
    bad |= mbedtls_pk_parse_keyfile(&key, text("key", NULL), NULL, mbedtls_ctr_drbg_random, &generator);
#else
    bad |= mbedtls_pk_parse_keyfile(&key, text("key", NULL), NULL);
#endif
    bad |= mbedtls_ssl_conf_own_cert(&config, &own, &key);
  }
  if (text("alpn", NULL) != NULL) {
    protocols[0] = text("alpn", NULL);
    bad |= mbedtls_ssl_conf_alpn_protocols(&config, protocols);
  }
  if (number("fragment") != 0) {
    bad |= mbedtls_ssl_conf_max_frag_len(&config, number("fragment"));
  }
  mbedtls_ssl_conf_renegotiation(&config, number("renegotiates"));
  if (!isServer) {
    mbedtls_ssl_conf_session_tickets(&config, number("ticket"));
  } else {
    mbedtls_ssl_cache_init(&cache);
    mbedtls_ssl_conf_session_cache(&config, &cache, mbedtls_ssl_cache_get, mbedtls_ssl_cache_set);
    mbedtls_ssl_ticket_init(&tickets);
    bad |= mbedtls_ssl_ticket_setup(&tickets, mbedtls_ctr_drbg_random, &generator, MBEDTLS_CIPHER_AES_256_GCM, 3600);
    mbedtls_ssl_conf_session_tickets_cb(&config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &tickets);
  }
  if (bad) {
    puts("bad arguments");
    exit(1);
  }
}

static void told(const char *what, mbedtls_ssl_context *ssl) {
  const char *protocol = mbedtls_ssl_get_alpn_protocol(ssl);
  printf("%s %s alpn %s\n", what, mbedtls_ssl_get_ciphersuite(ssl), protocol == NULL ? "" : protocol);
}

static int writeAll(mbedtls_ssl_context *ssl, const char *data, int length, int piece) {
  for (int at = 0; at < length;) {
    int size = length - at < piece ? length - at : piece;
    int result = mbedtls_ssl_write(ssl, (const unsigned char *)data + at, size);
    if (result <= 0) {
      failed("write", result);
      return 0;
    }
    at += result;
  }
  return 1;
}

static void exchange(mbedtls_ssl_context *ssl, int length, int piece) {
  char *line = malloc(length);
  char *reply = malloc(length);
  makeLine(line, length);
  if (!writeAll(ssl, line, length, piece)) {
    return;
  }
  for (int got = 0; got < length;) {
    int result = mbedtls_ssl_read(ssl, (unsigned char *)reply + got, length - got);
    if (result <= 0) {
      failed("read", result);
      return;
    }
    got += result;
  }
  printf("back came %s\n", reversed(line, reply, length));
  free(line);
  free(reply);
}

static void runClient(void) {
  mbedtls_ssl_session session;
  int hasSession = 0;
  configure(0);
  mbedtls_ssl_session_init(&session);
  for (int i = 0; i < number("visits"); i++) {
    mbedtls_ssl_context ssl;
    mbedtls_net_context connection = {dial()};
    unsigned char byte;
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_setup(&ssl, &config);
    mbedtls_ssl_set_hostname(&ssl, "localhost");
    if (hasSession) {
      mbedtls_ssl_set_session(&ssl, &session);
    }
    mbedtls_ssl_set_bio(&ssl, &connection, mbedtls_net_send, mbedtls_net_recv, NULL);
    int result = mbedtls_ssl_handshake(&ssl);
    if (result != 0) {
      failed("handshake", result);
    } else {
      told("visit", &ssl);
      exchange(&ssl, 100000, 1 << 20);
      exchange(&ssl, 200, 1);
      mbedtls_ssl_session_free(&session);
      mbedtls_ssl_session_init(&session);
      hasSession = mbedtls_ssl_get_session(&ssl, &session) == 0;
      mbedtls_ssl_close_notify(&ssl);
      result = mbedtls_ssl_read(&ssl, &byte, 1);
      puts(result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? "closed" : "closed badly");
    }
    mbedtls_ssl_free(&ssl);
    mbedtls_net_free(&connection);
  }
}

static void runServer(void) {
  static unsigned char data[1 << 15];
  configure(1);
  int listener = listenAnywhere();
  for (;;) {
    mbedtls_ssl_context ssl;
    mbedtls_net_context connection = {accept(listener, NULL, NULL)};
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_setup(&ssl, &config);
    mbedtls_ssl_set_bio(&ssl, &connection, mbedtls_net_send, mbedtls_net_recv, NULL);
    int result = mbedtls_ssl_handshake(&ssl);
    if (result != 0) {
      failed("accept", result);
    } else {
      told("accepted", &ssl);
      if (number("renegotiates") != 0) {
        mbedtls_ssl_renegotiate(&ssl);
      }
      while ((result = mbedtls_ssl_read(&ssl, data, sizeof data)) > 0) {
        writeAll(&ssl, (char *)data, result, 1 << 20);
      }
      if (result != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        failed("read", result);
      }
      mbedtls_ssl_close_notify(&ssl);
    }
    mbedtls_ssl_free(&ssl);
    mbedtls_net_free(&connection);
  }
}

int main(int count, char **values) {
  begin(values);
  if (count > 1 && strcmp(values[1], "server") == 0) {
    runServer();
  }
  runClient();
  return 0;
}
