//! What a site lets a browser do: the headers of `serve`, also written for other servers by `dist`.

/// Hexadecimal digits in a name made from the content.
pub const HASH: usize = 16;

/// For files that are named by their content.
pub const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// For every response. A page cannot set these itself.
pub const HEADERS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    (
        "permissions-policy",
        "camera=(self), clipboard-read=(self), clipboard-write=(self), web-share=(self), \
         geolocation=(), microphone=(), payment=(), usb=(), serial=(), hid=(), bluetooth=(), midi=(), \
         display-capture=(), accelerometer=(), gyroscope=(), magnetometer=()",
    ),
];

/// For a page that is isolated from other origins: only there do browsers share memory between threads.
/// `credentialless` forbids no file of another site, as `require-corp` does. Safari, which does not know it, has no
/// relaxed SIMD either, so no threads.
pub const ISOLATION: &[(&str, &str)] = &[("cross-origin-opener-policy", "same-origin"), EMBEDDER];

/// The part of these that the script of a worker needs too.
pub const EMBEDDER: (&str, &str) = ("cross-origin-embedder-policy", "credentialless");

/// For scripts: a worker takes its policy from its own file, not from the page. `closed`: it may connect
/// only to its own site.
pub const fn worker(closed: bool) -> &'static str {
    if closed {
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' data: blob:"
    } else {
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' https: data: blob:"
    }
}

/// In the policy of a page that may load photos and models from other addresses.
pub const OPEN: &str = "connect-src 'self' https:";

/// In the policy of a page that may not.
pub const CLOSED: &str = "connect-src 'self'";

/// Whether the policy in a page lets it connect only to its own site.
pub fn is_closed(html: &str) -> bool {
    html.contains(CLOSED) && !html.contains(OPEN)
}

/// Whether the headers that `dist` wrote isolate the page.
pub fn is_isolated(headers: &str) -> bool {
    headers.lines().any(|line| {
        let (name, value) = ISOLATION[0];
        line.trim().split_once(": ") == Some((name, value))
    })
}

/// Whether a path contains a name made from the content: `www.<hash>/…`, `model.<hash>.onnx`.
pub fn is_named_by_content(path: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    path.split(['/', '.'])
        .any(|piece| piece.len() == HASH && piece.bytes().all(digit))
}
