use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::leftovers::MARK;
use super::*;

/// A separate folder for each test, removed with it.
struct Place(PathBuf);

impl std::ops::Deref for Place {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// With files in `old/`.
fn workplace(name: &str, files: &[(&str, &str)]) -> Place {
    let place = std::env::temp_dir().join(format!("whylens-staged-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&place));
    for (file, text) in files {
        let file = place.join("old").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    fs::create_dir_all(&place).unwrap();
    Place(place.canonicalize().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_neither_written_nor_removed_stays_as_it_is() {
    let place = workplace(
        "stays",
        &[
            ("a", "1"),
            ("b", "1"),
            ("gone/only", "1"),
            (".git/HEAD", "ref"),
            ("both/theirs", "1"),
        ],
    );
    let old = place.join("old");
    symlink("nowhere", old.join("link")).unwrap();
    fs::create_dir_all(old.join("empty/inner")).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(old.join(".git"), fs::Permissions::from_mode(0o700)).unwrap();
    let inode = old.join(".git/HEAD").metadata().unwrap().ino();

    let mut staged = Staged::begin(&old).unwrap();
    staged.write("b", b"2").unwrap();
    staged.write("both/ours", b"2").unwrap();
    staged.remove("gone/only").unwrap();
    assert_eq!(
        fs::read(old.join("b")).unwrap(),
        b"1",
        "the old folder, until then"
    );
    staged.commit().unwrap();

    assert_eq!(names(&place), ["old"]);
    assert_eq!(names(&old), [".git", "a", "b", "both", "empty", "link"]);
    assert_eq!(names(&old.join("both")), ["ours", "theirs"]);
    assert_eq!(fs::read(old.join("b")).unwrap(), b"2");
    assert_eq!(
        fs::read_link(old.join("link")).unwrap(),
        Path::new("nowhere")
    );
    assert!(old.join("empty/inner").is_dir());
    assert_eq!(old.metadata().unwrap().mode() & 0o777, 0o750);
    assert_eq!(old.join(".git").metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(old.join(".git/HEAD").metadata().unwrap().ino(), inode);
}

#[test]
fn a_folder_that_is_not_finished_leaves_nothing() {
    let place = workplace("dropped", &[("a", "1")]);
    for target in ["old", "none"] {
        let mut staged = Staged::begin(&place.join(target)).unwrap();
        staged.write("a", b"2").unwrap();
        drop(staged);
    }
    assert_eq!(names(&place), ["old"]);
    assert_eq!(fs::read(place.join("old/a")).unwrap(), b"1");
}

#[test]
fn a_link_to_the_folder_stays_a_link() {
    let place = workplace("link", &[("a", "1")]);
    symlink("old", place.join("link")).unwrap();
    symlink("deep/new", place.join("dangling")).unwrap();
    for (link, folder) in [("link", "old"), ("dangling", "deep/new")] {
        let mut staged = Staged::begin(&place.join(link)).unwrap();
        staged.write("a", b"2").unwrap();
        staged.commit().unwrap();
        assert!(place.join(link).is_symlink());
        assert_eq!(fs::read(place.join(folder).join("a")).unwrap(), b"2");
    }
}

#[test]
fn what_killed_runs_left_is_cleared_and_nothing_else() {
    let place = workplace("killed", &[("a", "1")]);
    for (folder, file) in [
        (".old.whylens-1", MARK),
        (".old.whylens-2", "thesis"),
        (".gone.whylens-3", MARK),
        (".gone.whylens-3/old", "a"),
    ] {
        fs::create_dir_all(place.join(folder)).unwrap();
        fs::write(place.join(folder).join(file), "1").unwrap();
    }
    drop(Staged::begin(&place.join("old")).unwrap());
    assert_eq!(names(&place), [".gone.whylens-3", ".old.whylens-2", "old"]);
    drop(Staged::begin(&place.join("gone")).unwrap());
    assert_eq!(names(&place), [".old.whylens-2", "gone", "old"]);
    assert_eq!(
        fs::read(place.join("gone/a")).unwrap(),
        b"1",
        "moved away, put back"
    );
}

#[test]
fn somebody_elses_folder_or_link_in_the_way_is_told() {
    let place = workplace("conflict", &[("page/theirs", "1"), ("models", "1")]);
    symlink(&*place, place.join("old/out")).unwrap();
    for path in ["page", "models/m", "out/m"] {
        let mut staged = Staged::begin(&place.join("old")).unwrap();
        staged.write(path, b"2").unwrap();
        let told = format!("{:#}", staged.commit().unwrap_err());
        assert!(told.contains("move it away"), "{path}: {told}");
    }
    assert_eq!(names(&place), ["old"]);
    assert_eq!(names(&place.join("old")), ["models", "out", "page"]);
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    let place = workplace("paths", &[]);
    let mut staged = Staged::begin(&place.join("old")).unwrap();
    for path in ["", "..", "../a", "/a", "a/../../b"] {
        assert!(staged.write(path, b"").is_err(), "{path}");
        assert!(staged.remove(path).is_err(), "{path}");
    }
}

#[test]
fn what_comes_while_a_folder_is_replaced_is_kept() {
    let place = workplace("late", &[("a", "1"), ("b", "1"), ("c", "1")]);
    let mut staged = Staged::begin(&place.join("old")).unwrap();
    staged.write("a", b"2").unwrap();
    staged.remove("c").unwrap();
    let fresh = staged.fresh();
    carry(&staged.target, &fresh, &staged.removed, Path::new("")).unwrap();
    fs::write(place.join("old/late"), "3").unwrap();
    fs::write(place.join("old/saved"), "3").unwrap();
    fs::rename(place.join("old/saved"), place.join("old/b")).unwrap();
    let old = exchange(&fresh, &staged.target, &staged.place.join("old")).unwrap();
    staged.keep_late(&old, Path::new(""));
    drop(staged);
    let text = |name: &str| fs::read_to_string(place.join("old").join(name)).unwrap();
    assert_eq!(names(&place.join("old")), ["a", "b", "late"]);
    assert_eq!(
        (text("a"), text("b"), text("late")),
        ("2".into(), "3".into(), "3".into())
    );
}

#[test]
fn names_may_be_as_long_as_the_file_system_takes() {
    let place = workplace("long", &[]);
    for letter in ["n", "猫"] {
        let name = letter.repeat(255 / letter.len());
        let target = place.join(&name);
        for text in ["1", "2"] {
            let mut staged = Staged::begin(&target).unwrap();
            staged.write("a", text.as_bytes()).unwrap();
            staged.commit().unwrap();
            assert_eq!(fs::read_to_string(target.join("a")).unwrap(), text);
        }
        file(&target.join(&name), b"1").unwrap();
        assert_eq!(names(&target), ["a", &name]);
        let begins = |name: &str| hidden(OsStr::new(name));
        assert_ne!(begins(&name), begins(&format!("{}x", &name[..252])));
    }
    assert_eq!(names(&place).len(), 2);
}

#[test]
fn one_file_is_written_whole_through_a_link_and_with_its_permissions() {
    let place = workplace("file", &[("a", "1")]);
    let target = place.join("old/a");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("old/a", place.join("link")).unwrap();
    file(&place.join("link"), b"2").unwrap();
    file(&place.join("new"), b"2").unwrap();
    file(Path::new("/dev/null"), b"2").unwrap();
    assert!(place.join("link").is_symlink());
    assert_eq!(fs::read(&target).unwrap(), b"2");
    assert_eq!(target.metadata().unwrap().mode() & 0o777, 0o640);
    assert_eq!(names(&place), ["link", "new", "old"]);
    assert_eq!(names(&place.join("old")), ["a"]);
    assert!(file(&place.join("none/a"), b"2").is_err());
}
