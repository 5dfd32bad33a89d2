//! `whylens pack hf:ORG/NAME` against a server with the Hub's layout.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as Part, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// The commit that `main` names.
const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server's files, faults and past requests.
#[derive(Default)]
struct Hub {
    files: BTreeMap<String, Vec<u8>>,
    /// How many responses with large files break off halfway.
    breaks: usize,
    /// Large files arrive damaged.
    damaged: bool,
    asked: Vec<String>,
    /// The server of large files, if it is not this one.
    elsewhere: String,
    /// Tokens, by the first part of the path.
    tokens: Vec<(String, bool)>,
    /// Files are only for those who have a token, as of a gated model.
    gated: bool,
}

type Shared = Arc<Mutex<Hub>>;

fn note(hub: &mut Hub, path: &str, headers: &HeaderMap) {
    let range = headers
        .get(header::RANGE)
        .map(|range| range.to_str().unwrap());
    hub.asked.push(
        format!("{path} {}", range.unwrap_or_default())
            .trim_end()
            .into(),
    );
    let part = path.trim_start_matches('/').split('/').next().unwrap();
    hub.tokens
        .push((part.into(), headers.contains_key(header::AUTHORIZATION)));
}

/// `/api/models/acme/MODEL/revision/REVISION`
async fn listing(
    State(hub): State<Shared>,
    Part((model, revision)): Part<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut hub = hub.lock().unwrap();
    note(&mut hub, "/api/models", &headers);
    // The Hub does not tell whether a model is private or not there.
    if model != "cats" {
        return (StatusCode::UNAUTHORIZED, "Invalid username or password").into_response();
    }
    if !["main", "refs/pr/1"].contains(&&*revision) {
        return (StatusCode::NOT_FOUND, "Invalid rev id").into_response();
    }
    let siblings: Vec<_> = hub
        .files
        .iter()
        .map(|(name, bytes)| json!({ "rfilename": name, "size": bytes.len() }))
        .collect();
    json!({ "id": "acme/cats", "sha": SHA, "siblings": siblings })
        .to_string()
        .into_response()
}

/// `/acme/cats/resolve/SHA/FILE`: small files themselves, and where large ones are.
async fn resolve(
    State(hub): State<Shared>,
    Part((sha, name)): Part<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut hub = hub.lock().unwrap();
    note(&mut hub, &format!("/resolve/{name}"), &headers);
    assert_eq!(sha, SHA, "the same version");
    let Some(bytes) = hub.files.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if hub.gated
        && headers
            .get(header::AUTHORIZATION)
            .is_none_or(|told| told != "Bearer secret")
    {
        return (
            StatusCode::UNAUTHORIZED,
            "Access to this model is restricted",
        )
            .into_response();
    }
    if name == "preprocessor_config.json" {
        let to = format!("/api/resolve-cache/models/acme/cats/{SHA}/{name}");
        return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response();
    }
    if !name.contains(".onnx") {
        return ([(header::ETAG, "\"a-git-digest\"")], bytes.clone()).into_response();
    }
    let digest = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let told = [
        ("x-linked-size", bytes.len().to_string()),
        ("x-linked-etag", format!("\"{digest}\"")),
        (
            "location",
            format!("{}/cdn/{name}?signature=1", hub.elsewhere),
        ),
    ];
    (StatusCode::FOUND, told.map(|(name, value)| (name, value))).into_response()
}

/// `/api/resolve-cache/models/acme/cats/SHA/FILE`: where the Hub has small files.
async fn cached(
    State(hub): State<Shared>,
    Part(name): Part<String>,
    headers: HeaderMap,
) -> Response {
    let mut hub = hub.lock().unwrap();
    note(&mut hub, &format!("/cache/{name}"), &headers);
    hub.files[&name].clone().into_response()
}

/// `/cdn/FILE`
async fn cdn(State(hub): State<Shared>, Part(name): Part<String>, headers: HeaderMap) -> Response {
    let mut hub = hub.lock().unwrap();
    note(&mut hub, &format!("/cdn/{name}"), &headers);
    let mut bytes = hub.files[&name].clone();
    if hub.damaged {
        *bytes.last_mut().unwrap() ^= 1;
    }
    let all = bytes.len();
    let from: usize = headers.get(header::RANGE).map_or(0, |range| {
        let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        range.strip_suffix('-').unwrap().parse().unwrap()
    });
    if from >= all {
        let told = [(header::CONTENT_RANGE, format!("bytes */{all}"))];
        return (StatusCode::RANGE_NOT_SATISFIABLE, told).into_response();
    }
    let rest = bytes.split_off(from);
    let length = rest.len();
    let broken = hub.breaks > 0;
    hub.breaks = hub.breaks.saturating_sub(1);
    let sent: Vec<Result<Vec<u8>, std::io::Error>> = match broken {
        true => vec![
            Ok(rest[..length / 2].to_vec()),
            Err(std::io::Error::other("gone")),
        ],
        false => vec![Ok(rest)],
    };
    let parts = futures_util::stream::iter(sent).then(|part| async {
        if part.is_err() {
            // Let what was sent before arrive.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        part
    });
    let body = Body::from_stream(parts);
    let told = [
        (header::CONTENT_LENGTH, length.to_string()),
        (
            header::CONTENT_RANGE,
            format!("bytes {from}-{}/{all}", all - 1),
        ),
    ];
    let status = if from > 0 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    (status, told, body).into_response()
}

struct Server {
    hub: Shared,
    address: String,
    /// Where downloads are kept.
    cache: PathBuf,
    out: PathBuf,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(name: &str, hub: Hub) -> Server {
        Server::over(name, hub, None)
    }

    fn over(name: &str, hub: Hub, tls: Option<TlsAcceptor>) -> Server {
        let hub = Arc::new(Mutex::new(hub));
        let routes = Router::new()
            .route("/api/models/acme/{model}/revision/{revision}", get(listing))
            .route("/acme/cats/resolve/{sha}/{*file}", get(resolve))
            .route(
                &format!("/api/resolve-cache/models/acme/cats/{SHA}/{{*file}}"),
                get(cached),
            )
            .route("/cdn/{*file}", get(cdn))
            .with_state(hub.clone());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = match tls {
            None => format!("http://127.0.0.1:{port}/"),
            Some(_) => format!("https://localhost:{port}/"),
        };
        match tls {
            None => runtime.spawn(async move { axum::serve(listener, routes).await }),
            Some(tls) => {
                let listener = Secure { listener, tls };
                runtime.spawn(async move { axum::serve(listener, routes).await })
            }
        };
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join("hub")
            .join(name);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("labels.txt"), labels()).unwrap();
        Server {
            hub,
            address,
            cache: folder.join("cache"),
            out: folder.join("packed"),
            _runtime: runtime,
        }
    }

    fn pack(&self, what: &str, options: &[&str]) -> Output {
        self.command(what, options).output().unwrap()
    }

    fn command(&self, what: &str, options: &[&str]) -> Command {
        let labels = self.out.with_file_name("labels.txt");
        let mut command = Command::new(env!("CARGO_BIN_EXE_whylens"));
        command
            .args(["pack", what, "--out"])
            .arg(&self.out)
            .arg("--labels")
            .arg(labels)
            .args(options)
            .env("HF_ENDPOINT", &self.address)
            .env("HF_TOKEN", "secret")
            .env("XDG_CACHE_HOME", &self.cache)
            .envs(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"].map(|name| (name, "")));
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name);
        }
        command
    }

    #[track_caller]
    fn refused(&self, what: &str, options: &[&str], code: &str) -> String {
        let output = self.pack(what, options);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.starts_with(&format!("whylens: {code}: ")), "{told}");
        told
    }

    /// The requests since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.hub.lock().unwrap().asked)
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.cache
            .join("whylens/hub/acme")
            .join(SHA)
            .join("cats")
            .join(name)
    }
}

fn labels() -> String {
    (0..10).map(|class| format!("class {class}\n")).collect()
}

fn golden() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/resnet.onnx")).unwrap()
}

/// A repository as `optimum` fills it, with files unrelated to the model.
fn repository() -> Hub {
    let text = |text: &str| text.as_bytes().to_vec();
    let files = [
        ("config.json", text("{}")),
        ("preprocessor_config.json", text("{}")),
        ("tokenizer.json", text("{}")),
        ("README.md", text("# Cats")),
        ("model.safetensors", vec![0; 1000]),
        ("onnx/model.onnx", golden()),
        ("onnx/model_fp16.onnx", vec![0; 1000]),
    ];
    Hub {
        files: files.map(|(name, bytes)| (name.to_string(), bytes)).into(),
        ..Hub::default()
    }
}

#[track_caller]
fn done(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_model_of_the_hub_is_packed_of_what_is_needed() {
    let server = Server::start("whole", repository());
    done(&server.pack("hf:acme/cats", &[]));
    let asked = [
        "/api/models",
        "/resolve/config.json",
        "/resolve/preprocessor_config.json",
        "/cache/preprocessor_config.json",
        "/resolve/onnx/model.onnx",
        "/cdn/onnx/model.onnx",
    ];
    assert_eq!(server.asked(), asked);
    assert_eq!(fs::read(server.kept("onnx/model.onnx")).unwrap(), golden());
    let json = fs::read(server.out.join("model.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["name"], "cats");
    // Downloaded files are not requested again.
    done(&server.pack("hf:acme/cats", &[]));
    assert_eq!(server.asked(), ["/api/models"]);
    done(&server.pack("hf:acme/cats@refs/pr/1", &[]));
    assert_eq!(server.asked(), ["/api/models"]);
}

#[test]
fn the_token_is_for_the_hub_alone() {
    let elsewhere = Server::start("elsewhere", repository());
    let hub = Hub {
        elsewhere: elsewhere.address.trim_end_matches('/').into(),
        ..repository()
    };
    let server = Server::start("token", hub);
    done(&server.pack("hf:acme/cats", &[]));
    let tokens = |server: &Server| server.hub.lock().unwrap().tokens.clone();
    let (told, untold) = (tokens(&server), tokens(&elsewhere));
    assert!(
        told.len() == 5 && told.iter().all(|(_, told)| *told),
        "{told:?}"
    );
    assert_eq!(untold, [("cdn".to_string(), false)]);
}

#[test]
fn a_private_or_gated_model_needs_a_token() {
    let server = Server::start(
        "gated",
        Hub {
            gated: true,
            ..repository()
        },
    );
    let alone = |what: &str| {
        let output = server.command(what, &[]).env_remove("HF_TOKEN").output();
        String::from_utf8(output.unwrap().stderr).unwrap()
    };
    for what in ["hf:acme/cats", "hf:acme/dogs"] {
        let told = alone(what);
        assert!(told.starts_with("whylens: http-status: "), "{told}");
        let id = &what[3..];
        let advice = format!(
            "accept its conditions at {}{id} and set HF_TOKEN",
            server.address
        );
        assert!(told.contains(&advice), "{told}");
    }
    let told = server.refused("hf:acme/dogs", &[], "http-status");
    assert!(told.contains("or HF_TOKEN may not read it"), "{told}");
    done(&server.pack("hf:acme/cats", &[]));
}

/// A listener with TLS.
struct Secure {
    listener: tokio::net::TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Secure {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            // A client that refuses the certificate is none.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// An authority, as PEM, and what a server called `localhost` shows that it signed.
fn authority() -> (String, TlsAcceptor) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.into()], key.into())
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

#[test]
fn by_tls_only_a_server_that_the_system_trusts_is_believed() {
    let (pem, tls) = authority();
    let (_, other) = authority();
    // The files are on another host, which gets no token by TLS either.
    let cdn = Server::over("tls-cdn", repository(), Some(tls.clone()));
    let elsewhere = cdn.address.trim_end_matches('/').into();
    let server = Server::over(
        "tls",
        Hub {
            elsewhere,
            ..repository()
        },
        Some(tls),
    );
    let trusted = server.out.with_file_name("authority.pem");
    fs::write(&trusted, pem).unwrap();
    let mut command = server.command("hf:acme/cats", &[]);
    done(&command.env("SSL_CERT_FILE", &trusted).output().unwrap());
    assert!(
        server
            .hub
            .lock()
            .unwrap()
            .tokens
            .iter()
            .all(|(_, told)| *told)
    );
    let untold = cdn.hub.lock().unwrap().tokens.clone();
    assert_eq!(untold, [("cdn".to_string(), false)]);

    let impostor = Server::over("impostor", repository(), Some(other));
    let mut command = impostor.command("hf:acme/cats", &[]);
    let output = command.env("SSL_CERT_FILE", &trusted).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with("whylens: network: ") && told.contains("set SSL_CERT_FILE"),
        "{told}"
    );
    assert_eq!(impostor.asked(), [""; 0]);
}

#[test]
fn a_proxy_is_asked_for_the_hub_unless_no_proxy_names_it() {
    let (pem, tls) = authority();
    let server = Server::over("proxied", repository(), Some(tls));
    let trusted = server.out.with_file_name("authority.pem");
    fs::write(&trusted, pem).unwrap();
    let (proxy, asked) = proxy();
    let pack = |no_proxy: &str| {
        let mut command = server.command("hf:acme/cats", &["--force"]);
        command
            .env("SSL_CERT_FILE", &trusted)
            .env("HTTPS_PROXY", &proxy);
        done(&command.env("NO_PROXY", no_proxy).output().unwrap());
        std::mem::take(&mut *asked.lock().unwrap())
    };
    let port = server
        .address
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .unwrap();
    let lines = pack("");
    let expected = format!("CONNECT localhost:{port} HTTP/1.1");
    assert!(
        !lines.is_empty() && lines.iter().all(|line| *line == expected),
        "{lines:?}"
    );
    assert_eq!(pack("localhost"), [""; 0]);
}

/// A proxy's address, and the first line of each request to it.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    use std::io::{BufRead, BufReader, Write, copy};
    use std::net::{TcpListener, TcpStream};
    use std::thread::spawn;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lines = asked.clone();
    spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = BufReader::new(client.try_clone().unwrap())
                .lines()
                .map_while(Result::ok);
            let first = head.next().unwrap_or_default();
            head.find(String::is_empty);
            let to = first.split(' ').nth(1).unwrap_or_default();
            let Ok(mut hub) = TcpStream::connect(to) else {
                continue;
            };
            lines.lock().unwrap().push(first);
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .unwrap();
            let (mut from, mut back) = (hub.try_clone().unwrap(), client.try_clone().unwrap());
            spawn(move || copy(&mut from, &mut back));
            spawn(move || {
                drop(copy(&mut client, &mut hub));
                drop(hub.shutdown(std::net::Shutdown::Write));
            });
        }
    });
    (address, asked)
}

#[test]
fn a_download_that_breaks_off_is_gone_on_with() {
    let server = Server::start(
        "broken",
        Hub {
            breaks: 2,
            ..repository()
        },
    );
    done(&server.pack("hf:acme/cats", &[]));
    let all = golden().len();
    let (half, more) = (all / 2, all / 2 + (all - all / 2) / 2);
    let asked = server.asked();
    let large = asked.iter().filter(|asked| asked.starts_with("/cdn/"));
    let expected = [
        "".into(),
        format!(" bytes={half}-"),
        format!(" bytes={more}-"),
    ];
    assert!(
        large.eq(&expected.map(|range| format!("/cdn/onnx/model.onnx{range}"))),
        "{asked:?}"
    );
    assert_eq!(fs::read(server.kept("onnx/model.onnx")).unwrap(), golden());
}

#[test]
fn the_next_run_goes_on_where_one_ended() {
    let server = Server::start("next", repository());
    let part = server.kept("onnx/model.onnx.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &golden()[..100]).unwrap();
    done(&server.pack("hf:acme/cats", &[]));
    assert_eq!(
        server.asked().last().unwrap(),
        "/cdn/onnx/model.onnx bytes=100-"
    );
    // The whole file arrived, but the run ended before it noticed.
    fs::rename(server.kept("onnx/model.onnx"), &part).unwrap();
    done(&server.pack("hf:acme/cats", &[]));
    assert!(!part.exists());
}

#[test]
fn what_is_not_what_the_hub_says_is_refused_and_not_kept() {
    let server = Server::start(
        "damaged",
        Hub {
            damaged: true,
            ..repository()
        },
    );
    server.refused("hf:acme/cats", &[], "integrity");
    assert!(!server.kept("onnx/model.onnx").exists());
    assert!(!server.kept("onnx/model.onnx.part").exists());
    server.hub.lock().unwrap().damaged = false;
    done(&server.pack("hf:acme/cats", &[]));
}

#[test]
fn weights_in_other_files_come_along() {
    let mut hub = repository();
    let model = hub.files.remove("onnx/model.onnx").unwrap();
    // A model, and the same with weights in a file beside it.
    let outside = outside(&model, "model.onnx_data");
    hub.files.insert("onnx/model.onnx".into(), outside.0);
    hub.files.insert("onnx/model.onnx_data".into(), outside.1);
    let server = Server::start("outside", hub);
    done(&server.pack("hf:acme/cats", &[]));
    assert!(server.kept("onnx/model.onnx_data").exists());
    server
        .hub
        .lock()
        .unwrap()
        .files
        .remove("onnx/model.onnx_data");
    fs::remove_file(server.kept("onnx/model.onnx_data")).unwrap();
    let told = server.refused("hf:acme/cats", &[], "external-data");
    assert!(
        told.contains("model.onnx_data, which is not in acme/cats"),
        "{told}"
    );
}

/// The model with its largest weights in a separate file.
fn outside(onnx: &[u8], name: &str) -> (Vec<u8>, Vec<u8>) {
    use prost::Message;
    use tract_onnx::pb::{ModelProto, StringStringEntryProto};
    let mut model = ModelProto::decode(onnx).unwrap();
    let weights = model.graph.as_mut().unwrap().initializer.iter_mut();
    let largest = weights.max_by_key(|tensor| tensor.raw_data.len()).unwrap();
    let bytes = std::mem::take(&mut largest.raw_data);
    assert!(!bytes.is_empty());
    largest.data_location = Some(1);
    largest.external_data = vec![StringStringEntryProto {
        key: "location".into(),
        value: name.into(),
    }];
    (model.encode_to_vec(), bytes)
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::start("missing", repository());
    let told = server.refused("hf:acme/dogs", &[], "http-status");
    assert!(told.contains("acme/dogs at revision main"), "{told}");
    let told = server.refused("hf:acme/cats@v9", &[], "http-status");
    assert!(
        told.contains("acme/cats at revision v9") && !told.contains("HF_TOKEN"),
        "{told}"
    );
    let told = server.refused("hf:acme/cats", &["--file", "other.onnx"], "bad-option");
    assert!(
        told.contains("onnx/model.onnx, onnx/model_fp16.onnx"),
        "{told}"
    );
    server.refused("hf:../cats", &[], "bad-option");
    server.refused("model.onnx", &["--file", "other.onnx"], "bad-option");
    server
        .hub
        .lock()
        .unwrap()
        .files
        .retain(|name, _| !name.ends_with(".onnx"));
    let told = server.refused("hf:acme/cats", &[], "not-a-model");
    assert!(
        told.contains("optimum-cli export onnx --model acme/cats"),
        "{told}"
    );
    let hostile = "../../../outside.json".to_string();
    server
        .hub
        .lock()
        .unwrap()
        .files
        .insert(hostile, b"{}".to_vec());
    server.refused("hf:acme/cats", &[], "not-a-model");
    let nobody = Server {
        address: "http://127.0.0.1:1/".into(),
        ..server
    };
    nobody.refused("hf:acme/cats", &[], "network");
}
