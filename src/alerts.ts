/**
 * Alerts: the one-byte reasons that end a TLS connection.
 *
 *     struct { AlertLevel level; AlertDescription description; } Alert;
 *
 * RFC 9846 §6; IANA "TLS Alerts" registry.
 */

/** Alert descriptions by their registered names. */
export const alertCodes = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  ech_required: 121,
  general_error: 117,
  no_application_protocol: 120,
} as const;

export type AlertDescription = keyof typeof alertCodes;

const names = new Map<number, AlertDescription>(
  Object.entries(alertCodes).map(([name, code]) => [code, name as AlertDescription]),
);

/** The registered name of an alert code, or undefined for an unassigned one. */
export function alertName(code: number): AlertDescription | undefined {
  return names.get(code);
}

export const ALERT_LEVEL_WARNING = 1;
export const ALERT_LEVEL_FATAL = 2;
