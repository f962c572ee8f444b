//! Heads as clients send them.

/// What clients of the load are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Client {
    /// Says no more than it must
    Bare,
    /// Sends the head of Chromium with a cookie, and a token of 700 bytes where none is given
    Chromium,
}

/// What a `fetch` in Chromium 142 sends beside its first line, its host and its cookies.
const CHROMIUM: &str = "Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: https://app.example/dashboard/orders?view=open&sort=age\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n";
const COOKIE: &str = "Cookie: theme=dark; _ga=GA1.1.1234567890.1700000000";
/// The length of a usual token, in bytes.
const TOKEN_BYTES: usize = 700;

// === impl Client ===

impl Client {
    /// The fields of every request. A hub that knows no keys refuses tokens, so without one a session of that length goes
    /// with the cookie.
    pub(crate) fn fields(self, token: Option<&str>) -> String {
        let token_field = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        match self {
            Self::Bare => token_field,
            Self::Chromium => {
                let session = if token.is_none() {
                    format!("; session={}", "x".repeat(TOKEN_BYTES))
                } else {
                    String::new()
                };
                format!("{CHROMIUM}{COOKIE}{session}\r\n{token_field}")
            }
        }
    }
}
