/** What the servers under load answer, by path: bytes of the body. */
export const SIZES: Readonly<Record<string, number>> = { '/': 64, '/64k': 65_536 };
