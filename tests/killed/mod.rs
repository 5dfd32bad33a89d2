//! command → the folders that it leaves when it is ended, or hindered, at each call that opens or changes a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Not every architecture has all of them.
const CALLS: &[&str] = &[
    "openat",
    "creat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "write",
    "writev",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "syncfs",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "utimensat",
    "copy_file_range",
    "sendfile",
    "flock",
];

/// A folder's whole content: of each path what it is, its permissions, and its bytes or where it leads.
pub type Snapshot = BTreeMap<String, (String, Vec<u8>)>;

pub fn snapshot(folder: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    look(folder, "", &mut found);
    found
}

fn look(folder: &Path, name: &str, found: &mut Snapshot) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.metadata().unwrap());
        let inner = format!("{name}{}", entry.file_name().to_str().unwrap());
        let mode = kind.permissions().mode();
        let (what, bytes) = if kind.is_symlink() {
            let to = fs::read_link(&path).unwrap();
            ("link".into(), to.to_str().unwrap().into())
        } else if kind.is_dir() {
            look(&path, &format!("{inner}/"), found);
            (format!("folder {mode:o}"), Vec::new())
        } else {
            (format!("file {mode:o}"), fs::read(&path).unwrap())
        };
        found.insert(inner, (what, bytes));
    }
}

/// Runs `whylens` in `folder` again and again, each time with a fault, in strace's words, at another call:
/// `signal=KILL` ends it there, `error=ENOSPC` lets the call fail. Before each run comes `before`, after it `after`,
/// told of the call and of how the run ended.
pub fn at_every_call(
    fault: &str,
    folder: &Path,
    arguments: &[&str],
    before: &dyn Fn(),
    after: &dyn Fn(&str, &Output),
) {
    let log = folder.with_extension("strace");
    let trace = format!("trace=?{}", CALLS.join(",?"));
    let run = |options: &[&str]| {
        before();
        Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(&log)
            .args(["-e", &trace])
            .args(options)
            .arg(env!("CARGO_BIN_EXE_whylens"))
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("strace is missing: run `make strace`")
    };
    let whole = run(&[]);
    assert!(whole.status.success(), "{whole:?}");
    let log = fs::read_to_string(&log).unwrap();
    let mut seen = BTreeMap::<_, usize>::new();
    for line in log.lines() {
        let mut words = line.split(['(', ' ']).filter(|word| !word.is_empty());
        let (Some(thread), Some(call)) = (words.next(), words.next()) else {
            continue;
        };
        if let Some(call) = CALLS.iter().find(|known| **known == call) {
            // strace counts for each thread alone.
            *seen.entry((*call, thread)).or_default() += 1;
        }
    }
    let calls: BTreeSet<_> = seen
        .iter()
        .flat_map(|((call, _), times)| (1..=*times).map(|nth| (*call, nth)))
        .collect();
    assert!(calls.len() > 50, "{} calls: {log}", calls.len());
    let all = calls.len();
    let mut early = 0;
    for (call, nth) in calls {
        let ended = run(&["-e", &format!("inject={call}:{fault}:when={nth}")]);
        early += usize::from(!ended.status.success());
        after(&format!("{fault} at {call} {nth}"), &ended);
    }
    // Threads may make fewer calls than the first time; some runs come to their end.
    let ends = fault.starts_with("signal");
    assert!(
        !ends || early * 10 >= all * 8,
        "{early} of {all} runs were ended"
    );
}
