//! folder with a site.toml → the site in it, made anew.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser};
use whylens::Error;

use super::dist;
use super::site::dress::dress;
use super::site::{Site, wrong};

/// The folder that is uploaded, within that of the owner.
pub const BUILT: &str = "site";

/// Make the site of a folder that `whylens new` made, after a change
#[derive(Args)]
pub struct Arguments {
    /// Folder with a site.toml
    #[arg(default_value = ".", value_name = "SITE")]
    folder: PathBuf,
    #[command(flatten)]
    making: Making,
}

/// How a site is made.
#[derive(Args)]
pub struct Making {
    /// Folder with the page's index.html and www/ [default: the page inside this tool, or else . or where the tool was
    /// built]
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// How hard to compress the .br and .gz files beside the big ones [default: best]
    #[arg(long, value_name = "HOW")]
    compress: Option<String>,
    /// Publish scripts as they are written, with their comments
    #[arg(long)]
    no_minify: bool,
    /// Overwrite files of the built site that were changed by hand
    #[arg(long)]
    force: bool,
}

/// Builds the site.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    build(&arguments.folder, &arguments.making)
}

/// The options of `dist`, which knows their defaults and checks them.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Dist {
    #[command(flatten)]
    arguments: dist::Arguments,
}

/// Builds the site of a folder.
pub fn build(folder: &Path, making: &Making) -> Result<ExitCode> {
    let site = Site::read(folder)?;
    let mut options: Vec<_> = site.hosting.options().into_iter().map(Into::into).collect();
    options.extend(["--out".into(), folder.join(BUILT).into_os_string()]);
    let here = || Path::new("www/whylens.js").is_file();
    let page = match &making.page {
        Some(page) => Some(page.clone()),
        None if cfg!(feature = "embed") || here() => None,
        None => Some(env!("CARGO_MANIFEST_DIR").into()),
    };
    if let Some(page) = page {
        options.extend(["--page".into(), page.into_os_string()]);
    }
    if let Some(how) = &making.compress {
        options.extend(["--compress".into(), how.into()]);
    }
    if making.no_minify {
        options.push("--no-minify".into());
    }
    if making.force {
        options.push("--force".into());
    }
    options.push("--".into());
    options.extend(site.models.iter().map(|model| folder.join(model).into()));
    let Dist { arguments } = Dist::try_parse_from(options).map_err(refused)?;
    dist::make(&arguments, |page| dress(page, &site, folder))
}

/// What `dist` says of a value, which stands in site.toml unless it is that of an option of `build` too.
fn refused(error: clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let line = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    if line.contains("--compress") {
        return Error::BadOption(line.into()).into();
    }
    wrong(&format!("[hosting]: {}", line.replace("--", "")))
}
