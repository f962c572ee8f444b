/** What tabs have in common that share a connection: the URL, whose token it is, and further headers, as these may say who
 * it is as well. It is the name of a lock and of a channel, which others on the page can see, and so holds none of them
 * in the clear. */
export async function keyOf(at: URL, token?: string, headers?: HeadersInit): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify([at.href, token && subject(token), [...new Headers(headers)]]));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  return "tidings:" + btoa(String.fromCharCode(...digest));
}

/** Whose token it is; a token that does not say so is a subject of its own. */
function subject(token: string): unknown {
  try {
    const { iss, sub } = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
    if (sub) return [iss, sub];
  } catch {
    // It is no JWT.
  }
  return token;
}
