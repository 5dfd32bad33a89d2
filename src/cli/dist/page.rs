//! the page → the page of this site: its files, its service worker, its headers and types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use whylens::internal::sha256;

use super::preload;
use super::source::Source;
use super::{Arguments, Files};
use crate::policy;

/// The files of the page: `index.html` and `www/…`.
pub fn read(named: Option<&Path>, links: bool) -> Result<Files> {
    #[cfg(feature = "embed")]
    if named.is_none() {
        return Ok(embedded::page());
    }
    let folder = named.unwrap_or(Path::new("."));
    let source = Source::new(folder, links)?;
    let mut files = Files::new();
    let index = source.read("index.html").with_context(|| {
        format!(
            "no page in {}; name its folder with --page",
            folder.display()
        )
    })?;
    files.insert("index.html".into(), index);
    source.read_all("www", &mut Vec::new(), &mut files)?;
    Ok(files)
}

/// The page with the new addresses of its files, and with its models and service worker named.
pub fn rewrite(
    index: &str,
    www: &str,
    site: &Files,
    models: &[String],
    arguments: &Arguments,
) -> Result<String> {
    let mut html = index.to_string();
    for attribute in ["href", "src"] {
        html = html.replace(
            &format!("{attribute}=\"www/"),
            &format!("{attribute}=\"{www}/"),
        );
    }
    let script = "<script type=\"module\"";
    ensure!(
        html.matches(script).count() == 1,
        "index.html must have one {script}…>"
    );
    let offline = if arguments.no_offline { "off" } else { "sw.js" };
    let list = models.join(" ");
    let limit = arguments.memory_limit;
    let limit = limit.map(|limit| format!(" data-memory-limit=\"{limit}\""));
    let limit = limit.unwrap_or_default();
    let closed = if arguments.closed { " data-closed" } else { "" };
    let isolate = match arguments.no_isolate || arguments.no_offline {
        true => "",
        false => " data-isolate",
    };
    let weights = models
        .first()
        .and_then(|model| preload::weights(site, model));
    let weights = weights.map(|weights| format!(" data-weights=\"{weights}\""));
    let weights = weights.unwrap_or_default();
    html = html.replace(
        script,
        &format!(
            "{script} data-models=\"{list}\"{weights} data-offline=\"{offline}\"{limit}{isolate}{closed}"
        ),
    );
    let scripts = ["early.js", "main.js"].map(|name| format!("{www}/page/{name}"));
    let links = preload::links(site, &scripts);
    if let Some(at) = html.find("<script") {
        html.insert_str(at, &links);
    }
    if arguments.closed {
        let open = policy::OPEN;
        ensure!(
            html.matches(open).count() == 1,
            "index.html has no Content-Security-Policy with {open}, so --closed cannot close it"
        );
        html = html.replace(open, policy::CLOSED);
    }
    Ok(html)
}

/// Sharing from other apps needs the service worker, and a closed site takes nothing from them.
pub fn without_share(page: &mut Files) -> Result<()> {
    let name = "www/manifest.webmanifest";
    let Some(bytes) = page.get_mut(name) else {
        return Ok(());
    };
    let mut manifest: Value =
        serde_json::from_slice(bytes).with_context(|| format!("{name} is not JSON"))?;
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("share_target");
        fields.remove("file_handlers");
    }
    *bytes = serde_json::to_vec_pretty(&manifest)?;
    Ok(())
}

/// The service worker with the list of files that it keeps, or one that removes itself.
pub fn service_worker(
    site: &Files,
    weights: &BTreeSet<String>,
    script: &[u8],
    arguments: &Arguments,
) -> Result<Vec<u8>> {
    // The library keeps weights itself, and only those that were used.
    let files: BTreeMap<&str, String> = site
        .iter()
        .filter(|(path, _)| !weights.contains(*path))
        .map(|(path, bytes)| (path.as_str(), sha256(bytes)))
        .collect();
    let version = sha256(&serde_json::to_vec(&files)?)[..policy::HASH].to_string();
    let site = json!({
        "version": version,
        "offline": !arguments.no_offline,
        "share": !arguments.closed,
        "files": files,
        "headers": policy::HEADERS.iter().chain(isolation(arguments)).copied().collect::<BTreeMap<_, _>>(),
        "workerPolicy": policy::worker(arguments.closed),
    });
    let mut out = format!("self.site = {site};\n").into_bytes();
    out.extend_from_slice(script);
    Ok(out)
}

fn isolation(arguments: &Arguments) -> &'static [(&'static str, &'static str)] {
    match arguments.no_isolate {
        true => &[],
        false => policy::ISOLATION,
    }
}

/// Headers in the form that Netlify and Cloudflare Pages read; a plain file elsewhere. Only this page is isolated:
/// there may be others beside it.
pub fn headers(www: &str, arguments: &Arguments) -> String {
    let isolation = isolation(arguments);
    let worker = ("content-security-policy", policy::worker(arguments.closed));
    let mut script = vec![worker];
    if !arguments.no_isolate {
        script.push(policy::EMBEDDER);
    }
    let rules: [(String, &[_]); 6] = [
        ("/*".into(), policy::HEADERS),
        ("/".into(), isolation),
        ("/index.html".into(), isolation),
        (format!("/{www}/*"), &[("cache-control", policy::FOR_EVER)]),
        (format!("/{www}/worker/worker.js"), &script),
        ("/sw.js".into(), &[("cache-control", "no-cache"), worker]),
    ];
    let mut text = String::new();
    for (path, headers) in rules.iter().filter(|(_, headers)| !headers.is_empty()) {
        text += &format!("{path}\n");
        for (name, value) in *headers {
            text += &format!("  {name}: {value}\n");
        }
    }
    text
}

/// For IIS, which answers 404 for an ending that it does not know: types of the files, and the headers that isolate the
/// page. A plain file elsewhere.
pub fn web_config(site: &Files, arguments: &Arguments) -> String {
    let endings: BTreeSet<&str> = site
        .keys()
        .map(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.rsplit_once('.').map_or("", |(_, ending)| ending)
        })
        .filter(|ending| ending.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .collect();
    let types = endings.into_iter().map(|ending| {
        let kind = match ending {
            "" => mime_guess::mime::TEXT_PLAIN,
            _ => mime_guess::from_ext(ending).first_or_octet_stream(),
        };
        // Twice the same ending is an error there.
        format!(
            "      <remove fileExtension=\".{ending}\" />\n      <mimeMap fileExtension=\".{ending}\" mimeType=\"{kind}\" />\n"
        )
    });
    let headers = isolation(arguments).iter().map(|(name, value)| {
        format!(
            "        <remove name=\"{name}\" />\n        <add name=\"{name}\" value=\"{value}\" />\n"
        )
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<configuration>\n  <system.webServer>\n    <staticContent>\n{}    \
         </staticContent>\n    <httpProtocol>\n      <customHeaders>\n{}      </customHeaders>\n    \
         </httpProtocol>\n  </system.webServer>\n</configuration>\n",
        types.collect::<String>(),
        headers.collect::<String>()
    )
}

#[cfg(feature = "embed")]
mod embedded {
    use include_dir::{Dir, include_dir};

    use super::Files;

    static WWW: Dir = include_dir!("$CARGO_MANIFEST_DIR/www");

    pub fn page() -> Files {
        let mut files = Files::new();
        files.insert(
            "index.html".into(),
            include_bytes!("../../../index.html").to_vec(),
        );
        add(&WWW, &mut files);
        files
    }

    fn add(folder: &Dir, files: &mut Files) {
        for file in folder.files() {
            let path = file.path().to_string_lossy().replace('\\', "/");
            files.insert(format!("www/{path}"), file.contents().to_vec());
        }
        for inner in folder.dirs() {
            add(inner, files);
        }
    }
}
