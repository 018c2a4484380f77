/**
 * Cases of x509-limbo that Mayfly decides otherwise than the file, each with the reason. Reviewed one by one: a case
 * that is not listed here must be decided as the file says, and one that is listed must still be decided otherwise.
 */

export interface LimboException {
  readonly verdict: 'SUCCESS' | 'FAILURE';
  readonly reason: string;
}

const noCrl =
  'the case is about a CRL; Mayfly neither fetches nor processes CRLs (none travels in a TLS handshake), and the chain itself is valid';
const anchorForm =
  'a rule on how a root is to be issued; RFC 5280 §6.1.1 (d) takes no more than name and key from a trust anchor, and its owner chose it.';
const commonName =
  'a rule of the Baseline Requirements on the common name; Mayfly never reads it for names (RFC 9525 §2), so its form can mislead nobody, and private CAs put other things there';
const signsNothing =
  'the leaf is a CA whose keyUsage lacks digitalSignature; TLS demands that bit of a leaf (RFC 9846 §4.5.1.2), whatever its path';

export const limboExceptions: Readonly<Record<string, LimboException>> = {
  'crl::revoked-certificate-with-crl': accepted(noCrl),
  'crl::crlnumber-missing': accepted(noCrl),
  'crl::crlnumber-critical': accepted(noCrl),
  'crl::issuer-missing-crlsign': accepted(noCrl),

  'rfc5280::nc::permitted-dns-match-noncritical': accepted(
    'contradicts webpki::nc::permitted-dns-match-noncritical; the web allows non-critical name constraints, and Mayfly applies them either way',
  ),
  'webpki::eku::ee-without-eku': accepted(
    'contradicts rfc5280::eku::ee-without-eku; without the extension the key may serve any purpose (RFC 5280 §4.2.1.12)',
  ),
  'rfc5280::ca-as-leaf': refused(signsNothing),
  'pathlen::validation-ignores-pathlen-in-leaf': refused(signsNothing),

  'rfc5280::aki::cross-signed-root-missing-aki': accepted(
    `${anchorForm} cve::cve-2024-0567 demands to accept such a root`,
  ),
  'rfc5280::ski::root-missing-ski': accepted(`${anchorForm} A root of Node's default list has no subjectKeyIdentifier`),
  'rfc5280::root-non-critical-basic-constraints': accepted(
    `${anchorForm} A root of Node 20's default list has non-critical basicConstraints; they are applied either way`,
  ),
  'webpki::aki::root-with-aki-authoritycertissuer': accepted(
    `${anchorForm} Roots of Node 20's default list have this field; Mayfly ignores it`,
  ),
  'webpki::aki::root-with-aki-authoritycertserialnumber': accepted(
    `${anchorForm} Roots of Node 20's default list have this field; Mayfly ignores it`,
  ),
  'webpki::aki::root-with-aki-all-fields': accepted(
    `${anchorForm} Roots of Node 20's default list have these fields; Mayfly ignores them`,
  ),
  'webpki::eku::root-has-eku': accepted(
    `${anchorForm} Mayfly applies it: a root whose extKeyUsage does not include serverAuth vouches for no server`,
  ),

  'webpki::cn::ipv4-hex-mismatch': accepted(commonName),
  'webpki::cn::ipv4-leading-zeros-mismatch': accepted(commonName),
  'webpki::cn::ipv6-uppercase-mismatch': accepted(commonName),
  'webpki::cn::ipv6-uncompressed-mismatch': accepted(commonName),
  'webpki::cn::ipv6-non-rfc5952-mismatch': accepted(commonName),
  'webpki::cn::punycode-not-in-san': accepted(commonName),
  'webpki::cn::utf8-vs-punycode-mismatch': accepted(commonName),
  'webpki::cn::not-in-san': accepted(commonName),
  'webpki::cn::case-mismatch': accepted(commonName),

  'webpki::eku::ee-anyeku': accepted(
    'the leaf names serverAuth beside anyExtendedKeyUsage; the former is what counts, the latter alone is refused',
  ),
  'webpki::eku::ee-critical-eku': accepted(
    'RFC 5280 §4.2.1.12 leaves criticality to the issuer, and Mayfly processes the extension',
  ),
  'webpki::san::san-critical-with-nonempty-subject': accepted(
    'RFC 5280 §4.2.1.6 only recommends non-critical here, and Mayfly processes the extension',
  ),
  'webpki::san::public-suffix-multi-label-wildcard-san': accepted(
    'needs the Public Suffix List, which changes weekly; CAs check it when they issue. A single label behind the wildcard is refused',
  ),
  'webpki::san::public-suffix-private-namespace-wildcard-san': accepted(
    'needs the Public Suffix List; the web uses this very wildcard (the owner of the suffix has a certificate for *.s3.amazonaws.com)',
  ),
};

function accepted(reason: string): LimboException {
  return { verdict: 'SUCCESS', reason };
}

function refused(reason: string): LimboException {
  return { verdict: 'FAILURE', reason };
}
