//! `whylens serve` against requests that browsers make, and requests that no browser would make.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

struct Server {
    name: String,
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Server {
    fn start(name: &str, options: &[&str]) -> Server {
        let site = site(name);
        let mut process = Command::new(env!("CARGO_BIN_EXE_whylens"))
            .arg("serve")
            .arg(site)
            .args(["--port", "0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .trim_start_matches("http://")
            .trim_end_matches('/');
        Server {
            name: name.to_string(),
            address: address.to_string(),
            process,
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end, which takes seconds; or else gives up.
    #[cfg(unix)]
    fn end(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        for _ in 0..600 {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{signal} did not end it within a minute");
    }

    fn raw(&self, request: &[u8]) -> Response {
        self.send(request, false)
    }

    fn send(&self, request: &[u8], then_close: bool) -> Response {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        // A server that has seen enough may close before the whole request is written.
        drop(stream.write_all(request));
        if then_close {
            drop(stream.shutdown(Shutdown::Write));
        }
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let head = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned();
        let body = end.map_or(Vec::new(), |end| bytes[end + 4..].to_vec());
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Response {
            status: status.unwrap_or(0),
            head,
            body,
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Response {
        self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
            )
            .as_bytes(),
        )
    }

    fn get(&self, path: &str) -> Response {
        self.ask("GET", path, "")
    }
}

fn site_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("serve-{name}/site"))
}

/// A site beside a secret, with links that leave it.
fn site(name: &str) -> PathBuf {
    let site = site_of(name);
    let outer = site.parent().unwrap();
    drop(fs::remove_dir_all(outer));
    for folder in ["www/pkg", ".git", "assets/0123456789abcdef", "models/m"] {
        fs::create_dir_all(site.join(folder)).unwrap();
    }
    fs::create_dir_all(outer.join("outside")).unwrap();
    fs::write(outer.join("secret.txt"), "secret").unwrap();
    fs::write(outer.join("outside/secret.txt"), "secret").unwrap();
    for (file, text) in [
        ("index.html", "<!doctype html><title>page</title>"),
        (".git/config", "secret"),
        (".env", "secret"),
        ("www/main.js", "let script;"),
        ("www/main.js.br", "br bytes"),
        ("www/main.js.gz", "gz bytes"),
        ("www/pkg/whylens_bg.wasm", "\0asm0123456789"),
        ("assets/0123456789abcdef/page.css", "p{}"),
        ("models/m/model.onnx", "onnx"),
        ("models/m/Größe 1.txt", "umlaut"),
    ] {
        fs::write(site.join(file), text).unwrap();
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(outer.join("secret.txt"), site.join("link.txt")).unwrap();
        symlink(outer.join("outside"), site.join("folder")).unwrap();
        symlink(outer.join("secret.txt"), site.join("index.html.br")).unwrap();
        symlink(site.join("www/main.js"), site.join("inner.js")).unwrap();
        // What is opened is not what was requested.
        for folder in ["www/sub", "www/deep/er"] {
            fs::create_dir_all(site.join(folder)).unwrap();
            symlink(
                outer.join("secret.txt"),
                site.join(folder).join("index.html"),
            )
            .unwrap();
        }
        symlink("../../.env", site.join("www/deep/index.html")).unwrap();
        symlink(".env", site.join("env.txt")).unwrap();
        symlink(".git", site.join("git")).unwrap();
        symlink("none", site.join("dangling")).unwrap();
        symlink("loop", site.join("loop")).unwrap();
        fs::write(site.join("www/twin.js"), "let twin;").unwrap();
        symlink(outer.join("secret.txt"), site.join("www/twin.js.br")).unwrap();
        symlink("../.env", site.join("www/twin.js.gz")).unwrap();
        fs::write(site.join("www/deep/er/plain.html"), "plain").unwrap();
        symlink(
            outer.join("secret.txt"),
            site.join("www/deep/er/plain.html.gz"),
        )
        .unwrap();
    }
    site
}

#[test]
fn files_have_the_types_that_browsers_insist_on() {
    let server = Server::start("types", &[]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/www/main.js", "text/javascript"),
        ("/www/pkg/whylens_bg.wasm", "application/wasm"),
        ("/assets/0123456789abcdef/page.css", "text/css"),
        ("/models/m/model.onnx", "application/octet-stream"),
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("content-type"), Some(kind), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(
        server.get("/models/m/Gr%C3%B6%C3%9Fe%201.txt").body,
        b"umlaut"
    );
}

#[test]
fn no_file_outside_the_folder_is_served() {
    let server = Server::start("outside", &[]);
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/www/../../secret.txt",
        "/www/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "/%5c..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/./index.html",
        "//secret.txt",
        "//evil.example/..",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/www//main.js",
        "/index.html%00.txt",
        "/.env",
        "/.git/config",
        "/www/%2egit",
        "/link.txt",
        "/folder/secret.txt",
        "/folder",
        "/folder/",
        "/none",
        "/www/sub/",
        "/www/sub/index.html",
        "/www/deep/",
        "/www/deep/er/",
        "/env.txt",
        "/git/config",
        "/git",
        "/git/",
        "/dangling",
        "/loop",
        "/loop/",
    ] {
        let response = server.get(path);
        assert!(
            matches!(response.status, 400 | 404),
            "{path}: {}",
            response.head
        );
        assert_eq!(response.header("location"), None, "{path}");
        assert!(
            !response.body.windows(6).any(|six| six == b"secret"),
            "{path}"
        );
    }
    let absolute = server.raw(b"GET http://localhost/../secret.txt HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(matches!(absolute.status, 400 | 404), "{}", absolute.head);
    assert_eq!(
        server.get("/inner.js").status,
        200,
        "a link within the folder"
    );
}

#[test]
fn a_compressed_neighbour_that_is_a_link_to_elsewhere_is_not_served() {
    let server = Server::start("neighbour", &[]);
    for (path, encoding) in [
        ("/index.html", "br"),
        ("/", "br"),
        ("/www/twin.js", "br"),
        ("/www/twin.js", "gzip"),
        ("/www/deep/er/plain.html", "gzip"),
    ] {
        for method in ["GET", "HEAD"] {
            let response = server.ask(method, path, &format!("accept-encoding: {encoding}\r\n"));
            assert_eq!(response.status, 404, "{method} {path} {encoding}");
            assert_eq!(response.header("content-encoding"), None);
            assert!(!response.body.windows(6).any(|six| six == b"secret"));
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_found_and_not_waited_for() {
    let server = Server::start("pipes", &[]);
    let site = site_of(&server.name);
    fs::write(site.join("www/piped.js"), "let piped;").unwrap();
    for pipe in ["pipe", "www/sub2/index.html", "www/piped.js.br"] {
        fs::create_dir_all(site.join(pipe).parent().unwrap()).unwrap();
        let made = Command::new("mkfifo")
            .arg(site.join(pipe))
            .status()
            .unwrap();
        assert!(made.success());
    }
    let _socket = std::os::unix::net::UnixListener::bind(site.join("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", site.join("device")).unwrap();
    for path in [
        "/pipe",
        "/www/sub2/",
        "/www/sub2/index.html",
        "/socket",
        "/device",
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(server.ask(method, path, "").status, 404, "{method} {path}");
        }
    }
    let twin = server.ask("GET", "/www/piped.js", "accept-encoding: br\r\n");
    assert_eq!(twin.status, 404);
    assert_eq!(server.get("/www/piped.js").body, b"let piped;");
    assert!(server.end("INT").success());
}

#[cfg(unix)]
#[test]
fn the_first_signal_ends_it_whatever_is_half_sent() {
    for signal in ["INT", "TERM"] {
        let server = Server::start(&format!("ends-{signal}"), &[]);
        let large = site_of(&server.name).join("large.bin");
        fs::write(large, vec![7; 50_000_000]).unwrap();
        let mut half: Vec<_> = [
            "GET / HTTP/1.1\r\nhost: localho",
            "GET /large.bin HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ]
        .map(|request| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .into();
        half[1].read_exact(&mut [0; 1000]).unwrap();
        assert!(server.end(signal).success(), "{signal}");
        drop(half);
    }
}

#[cfg(unix)]
#[test]
fn what_is_under_way_is_sent_before_it_ends() {
    let server = Server::start("under-way", &[]);
    let large = site_of(&server.name).join("large.bin");
    fs::write(large, vec![7; 20_000_000]).unwrap();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(b"GET /large.bin HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    server.signal("INT");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 19_999_000, "{}", rest.len());
    assert!(rest.ends_with(&[7; 1000]));
}

#[cfg(unix)]
#[test]
fn the_second_signal_ends_it_at_once() {
    let mut server = Server::start("twice", &[]);
    let mut half = TcpStream::connect(&server.address).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: localho").unwrap();
    // A response, so that the request before has been read.
    assert_eq!(server.get("/").status, 200);
    server.signal("INT");
    let mut told = String::new();
    let mut errors = BufReader::new(server.process.stderr.take().unwrap());
    errors.read_line(&mut told).unwrap();
    assert!(told.contains("Ctrl-C again"), "{told}");
    // If it had waited for the half-sent request, it would have ended with 0.
    assert_eq!(server.end("INT").code(), Some(130));
}

#[test]
fn a_site_that_is_closed_or_isolated_is_served_so() {
    let page = |connect: &str| {
        format!(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; {connect} data: blob:; img-src 'self'\">"
        )
    };
    let server = Server::start("told", &[]);
    let site = site_of(&server.name);
    let policy = || {
        let response = server.get("/www/main.js");
        response
            .header("content-security-policy")
            .unwrap()
            .to_string()
    };
    assert!(policy().contains("https:"), "a page with no policy");
    for (connect, open) in [
        ("connect-src 'self' https:", true),
        ("connect-src 'self'", false),
    ] {
        fs::write(site.join("index.html"), page(connect)).unwrap();
        assert_eq!(policy().contains("https:"), open, "{connect}");
        assert!(policy().contains("connect-src 'self'"));
    }
    let isolated = || {
        ["cross-origin-opener-policy", "cross-origin-embedder-policy"]
            .map(|name| server.get("/").header(name).map(str::to_string))
    };
    let both = ["same-origin", "credentialless"].map(|value| Some(value.to_string()));
    assert_eq!(isolated(), both, "a folder that does not say");
    let headers = site.join("_headers");
    fs::write(&headers, "/*\n  referrer-policy: no-referrer\n").unwrap();
    assert_eq!(isolated(), [None, None]);
    fs::write(&headers, "/\n  cross-origin-opener-policy: same-origin\n").unwrap();
    assert_eq!(isolated(), both);
}

#[test]
fn malformed_requests_are_survived() {
    let server = Server::start("malformed", &[]);
    let long = format!(
        "GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "a".repeat(100_000)
    );
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    let requests: &[&[u8]] = &[
        b"",
        b"\r\n\r\n\r\n",
        b"GET",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"GET /% HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: a b c\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nrange: bytes=9-1\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nrange: bytes=99999999999999999999-\r\nconnection: close\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ];
    for request in requests {
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
        let response = server.send(request, true);
        assert!(response.status < 500, "{shown:?}: {}", response.head);
        assert_eq!(server.get("/").status, 200, "after {shown:?}");
    }
    let idle: Vec<_> = (0..50)
        .map(|_| TcpStream::connect(&server.address).unwrap())
        .collect();
    assert_eq!(server.get("/").status, 200, "beside 50 idle connections");
    drop(idle);
}

#[test]
fn only_get_and_head_are_served() {
    let server = Server::start("methods", &[]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        assert_eq!(server.ask(method, "/", "").status, 405, "{method}");
    }
    let head = server.ask("HEAD", "/www/pkg/whylens_bg.wasm", "");
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some("14"));
    assert!(head.body.is_empty());
}

#[test]
fn parts_of_a_file_can_be_asked_for() {
    let server = Server::start("ranges", &[]);
    let wasm = "/www/pkg/whylens_bg.wasm";
    let part = server.ask("GET", wasm, "range: bytes=4-7\r\n");
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-range"), Some("bytes 4-7/14"));
    assert_eq!(part.body, b"0123");
    let beyond = server.ask("GET", wasm, "range: bytes=20-30\r\n");
    assert_eq!(beyond.status, 416);
}

#[test]
fn compressed_neighbours_are_used_when_the_browser_takes_them() {
    let server = Server::start("compressed", &[]);
    for (accept, encoding, body) in [
        ("br, gzip", Some("br"), "br bytes"),
        ("gzip", Some("gzip"), "gz bytes"),
        ("gzip, br;q=0", Some("gzip"), "gz bytes"),
        ("identity", None, "let script;"),
        ("zstd", None, "let script;"),
    ] {
        let response = server.ask(
            "GET",
            "/www/main.js",
            &format!("accept-encoding: {accept}\r\n"),
        );
        assert_eq!(response.header("content-encoding"), encoding, "{accept}");
        assert_eq!(response.header("content-type"), Some("text/javascript"));
        assert_eq!(response.body, body.as_bytes(), "{accept}");
    }
}

#[test]
fn only_files_named_by_their_content_are_kept_for_ever() {
    let server = Server::start("cache", &[]);
    let cache = |path| {
        let response = server.get(path);
        response.header("cache-control").map(str::to_string)
    };
    assert_eq!(
        cache("/assets/0123456789abcdef/page.css").as_deref(),
        Some("public, max-age=31536000, immutable")
    );
    for path in ["/", "/www/main.js", "/assets/0123456789abcdef/none.css"] {
        assert_eq!(cache(path).as_deref(), Some("no-cache"), "{path}");
    }
    let modified = server.get("/www/main.js");
    let date = modified.header("last-modified").unwrap();
    let again = server.ask(
        "GET",
        "/www/main.js",
        &format!("if-modified-since: {date}\r\n"),
    );
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn a_name_that_was_rebound_to_this_machine_is_refused() {
    let server = Server::start("rebound", &[]);
    let status = |host: &str| {
        server
            .raw(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
            .status
    };
    for host in ["localhost", "LOCALHOST:99", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "192.168.1.2:8080"] {
        assert_eq!(status(host), 421, "{host}");
    }
}

#[test]
fn the_headers_that_a_page_cannot_set_itself_are_sent() {
    let plain = Server::start("headers", &[]).get("/www/main.js");
    let policy = plain.header("permissions-policy").unwrap();
    assert!(policy.contains("camera=(self)") && policy.contains("geolocation=()"));
    let worker = plain.header("content-security-policy").unwrap();
    assert!(worker.contains("default-src 'none'") && worker.contains("'wasm-unsafe-eval'"));
    for (name, options, isolated) in [
        ("by-default", &[][..], true),
        ("isolated", &["--isolate"], true),
        ("apart", &["--no-isolate"], false),
    ] {
        let page = Server::start(name, options).get("/");
        let headers =
            ["opener", "embedder"].map(|name| page.header(&format!("cross-origin-{name}-policy")));
        let expected = [Some("same-origin"), Some("credentialless")];
        assert_eq!(
            headers,
            if isolated { expected } else { [None; 2] },
            "{name}"
        );
    }
}

#[test]
fn it_listens_on_this_machine_only() {
    let server = Server::start("loopback", &[]);
    assert!(
        server.address.starts_with("127.0.0.1:"),
        "{}",
        server.address
    );
}
