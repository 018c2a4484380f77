export async function live(_scale: string): Promise<number> { return 0; }
