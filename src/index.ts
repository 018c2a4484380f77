/** The public names of the core. The Node modules are in `mayfly/tls`, `mayfly/https` and `mayfly/http2`. */

export type {
  Action,
  Answers,
  ClientHelloInfo,
  EarlyDataRefusal,
  HandshakeSummary,
  HandshakeWarning,
  HostAlert,
  Need,
  ResumptionRefusal,
} from './actions.ts';
export type { AlertDescription } from './alerts.ts';
export { Secret } from './bytes/secret.ts';
export { type ChainCache, type ChainCacheOptions, createChainCache } from './certificates/chain-cache.ts';
export { createTrustStore, type TrustStore, type TrustStoreOptions } from './certificates/trust-store.ts';
export { type VerifiedChain, type VerifyOptions, verifyCertificateChain } from './certificates/verify.ts';
export { Connection } from './connection.ts';
export type {
  ClientAuthenticationPolicy,
  ClientOptions,
  Credential,
  EarlyDataPolicy,
  KeyRenewal,
  ProtocolVersion,
  ServerContext,
  ServerOptions,
  ServerSessionCache,
  TicketPolicy,
} from './connection-options.ts';
export type { NamedGroup } from './crypto/groups.ts';
export { createNodeProvider, nodeProvider } from './crypto/node-provider.ts';
export type { CryptoProvider, PrivateKey, PublicKey } from './crypto/provider.ts';
export type { SignatureScheme } from './crypto/signatures.ts';
export type { CipherSuiteName } from './crypto/suites.ts';
export { type Blame, errorTable, TLSError, type TLSErrorCode } from './errors.ts';
export type { SecretBorn, SecretEnded, SecretOwner, SecretUses } from './ledger/channels.ts';
export { KeyLedger, type KeyLedgerOptions, type LedgerEntry, type OwnerAccount } from './ledger/key-ledger.ts';
export type { KeyNode, KeyTree } from './ledger/key-tree.ts';
export { keyLedger, startKeyLedger, stopKeyLedger } from './ledger/process-ledger.ts';
export { type ClientSession, decodeClientSession, encodeClientSession } from './session/client-session.ts';
export { ClientSessionCache, clientSessionKey } from './session/client-session-cache.ts';
export type { Clock, ClockTimer } from './session/clock.ts';
export {
  type ExternalPsk,
  type ExternalPskName,
  type ExternalPskQuery,
  type ExternalPskSource,
  externalPskTable,
  type FoundPsk,
} from './session/external-psk.ts';
export type { ExternalSessionCache, StoredSession } from './session/external-session-cache.ts';
export { LocalTicketKeys } from './session/local-ticket-keys.ts';
export { type ImportedIdentity, roleContext } from './session/psk-importer.ts';
export { SessionCache } from './session/session-cache.ts';
export type { SessionState } from './session/session-state.ts';
export {
  LocalSingleUseRegister,
  type SharedSingleUseRegister,
  type SingleUseRegister,
  type TicketClaim,
} from './session/single-use-register.ts';
export type { TicketKey, TicketKeySource, TicketKeyStatus } from './session/ticket-key.ts';
