//! The server of `make serve`, in a folder whose Makefile writes down what it is asked for.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `compile` fails; each of the others is another one each time, unless all are current. `run` may take ten minutes.
const MAKEFILE: &str = "target/quick/pkg/%/whylens_bg.wasm: $(if $(wildcard current),,always)
\techo $* >>made.txt
\ttest $* != compile
\ttest $* != run || test ! -e slow || sleep 600
\tmkdir -p $(@D)
\twc -l <made.txt >$@
\techo 'glue of $*' >$(@D)/whylens.js
\techo 'version of $*' >$(@D)/version.js
.PHONY: always
";

struct Server {
    folder: PathBuf,
    process: Child,
    address: String,
    said: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Server {
    /// With `there` built before.
    fn start(name: &str, options: &[&str], there: &[&str]) -> Server {
        Server::start_with(name, options, there, |_| ())
    }

    fn start_with(
        name: &str,
        options: &[&str],
        there: &[&str],
        change: impl FnOnce(&Path),
    ) -> Server {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("modules-{name}"));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("www/pkg/run")).unwrap();
        fs::write(folder.join("www/pkg/run/whylens.js"), "optimised").unwrap();
        fs::write(folder.join("index.html"), "the page").unwrap();
        fs::write(folder.join("Makefile"), MAKEFILE).unwrap();
        for module in there {
            let folder = folder.join("target/quick/pkg").join(module);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("version.js"), "before").unwrap();
        }
        change(&folder);
        let mut process = Command::new(env!("CARGO_BIN_EXE_serve"))
            .args(["--port", "0"])
            .args(options)
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            said.push(line.unwrap());
            if said.last().unwrap().starts_with("http://") {
                break;
            }
        }
        let address = said.last().unwrap().trim_start_matches("http://");
        let address = address.trim_end_matches('/').to_string();
        Server {
            folder,
            process,
            address,
            said,
        }
    }

    /// The status, the headers and the body.
    fn get(&self, path: &str) -> (String, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.into(), head.to_lowercase(), body.trim().into())
    }

    fn made(&self) -> String {
        fs::read_to_string(self.folder.join("made.txt")).unwrap_or_default()
    }
}

const ALL: &[&str] = &["run", "run-relaxed", "run-threads", "compile"];

#[test]
fn a_module_is_built_when_its_scripts_are_asked_for() {
    let server = Server::start("once", &["--quick"], ALL);
    assert!(
        server.said[0].contains("target/quick/pkg"),
        "{:?}",
        server.said
    );
    assert_eq!(server.made(), "", "nothing is built before it is asked for");
    assert_eq!(server.get("/www/pkg/run/version.js").2, "version of run");
    assert_eq!(server.get("/www/pkg/run/whylens.js").2, "glue of run");
    let made = server.made();
    assert!(made.lines().all(|name| name == "run"), "{made}");
    let (status, head, body) = server.get("/www/pkg/run/whylens_bg.wasm");
    let last = made.lines().count().to_string();
    assert_eq!((status, body), ("200".into(), last));
    for header in [
        "content-type: application/wasm",
        "cache-control: no-cache",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert_eq!(server.get("/").2, "the page");
    assert_eq!(server.get("/www/pkg/other/whylens.js").0, "404");
    assert_eq!(server.get("/www/pkg/../../Makefile").0, "404");
    assert_eq!(server.made(), made);
}

#[test]
fn a_module_that_cannot_be_built_is_an_error() {
    let server = Server::start("broken", &["--quick"], ALL);
    let (status, _, body) = server.get("/www/pkg/compile/whylens.js");
    assert_eq!(status, "503");
    assert!(body.contains("compile could not be built"), "{body}");
}

#[test]
fn modules_that_are_missing_are_built_in_the_background() {
    let server = Server::start("missing", &["--quick"], &["run-relaxed"]);
    assert!(
        server
            .said
            .iter()
            .any(|line| line.ends_with("background: run, compile")),
        "{:?}",
        server.said
    );
    // It waits for the build.
    assert_eq!(server.get("/www/pkg/run/whylens.js").2, "glue of run");
    assert_eq!(server.get("/www/pkg/compile/whylens.js").0, "503");
    let mut made: Vec<_> = server.made().lines().map(String::from).collect();
    made.sort();
    made.dedup();
    assert_eq!(made, ["compile", "run"]);
}

#[test]
fn a_page_does_not_wait_for_what_is_built_in_the_background() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules-aside");
    let server = Server::start_with("aside", &["--quick"], &["run-relaxed"], |folder| {
        fs::write(folder.join("slow"), "").unwrap();
        fs::write(folder.join("current"), "").unwrap();
        fs::write(
            folder.join("target/quick/pkg/run-relaxed/whylens_bg.wasm"),
            "",
        )
        .unwrap();
    });
    let begun = || {
        while !server.made().contains("run\n") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    begun();
    let relaxed = "/www/pkg/run-relaxed/version.js";
    assert_eq!(server.get(relaxed).2, "before", "it is current");

    // Longer than the server takes one for current without looking.
    std::thread::sleep(std::time::Duration::from_secs(6));
    fs::remove_file(place.join("current")).unwrap();
    fs::remove_file(place.join("slow")).unwrap();
    assert_eq!(server.get(relaxed).2, "version of run-relaxed");
    assert_eq!(server.get("/www/pkg/run/version.js").2, "version of run");
    assert!(
        server.made().starts_with("run\nrun-relaxed\n"),
        "{}",
        server.made()
    );
}

#[test]
fn what_is_built_in_the_background_ends_with_the_server() {
    let mut server = Server::start_with("ends", &["--quick"], &["run-relaxed"], |folder| {
        // As `run` in the background does: it says so when it is told to end.
        fs::write(
            folder.join("Makefile"),
            "target/quick/pkg/run/whylens_bg.wasm:\n\t@trap 'echo ended >ended.txt; exit 1' TERM; echo begun >made.txt; \
             sleep 600 & wait\n",
        )
        .unwrap();
    });
    while server.made().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = rustix::process::Pid::from_child(&server.process);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    server.process.wait().unwrap();
    while !server.folder.join("ended.txt").is_file() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn optimised_modules_are_served_as_they_are() {
    let server = Server::start("optimised", &[], ALL);
    assert!(
        server.said[0].contains("www/pkg, fully optimised"),
        "{:?}",
        server.said
    );
    assert_eq!(server.get("/www/pkg/run/whylens.js").2, "optimised");
    assert_eq!(server.made(), "");
}
