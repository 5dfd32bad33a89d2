//! results → text, JSON lines or CSV, on standard output or in a file that can be continued.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use whylens::manifest::Activation;
use whylens::{Classification, Error, Prediction};

use super::check;
use crate::terminal;

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// One line per photo, after a line of names.
    Csv,
}

/// What a line of CSV holds.
#[derive(Clone, Copy)]
pub struct Columns {
    pub predictions: usize,
    /// Whether heatmaps are checked.
    pub check: bool,
}

/// Where results go, one photo after the other.
pub struct Rows {
    format: Format,
    /// None: standard output.
    file: Option<(PathBuf, File)>,
    columns: Columns,
}

/// What an earlier run has written.
#[derive(Default)]
pub struct Done {
    /// How often each photo is there.
    photos: HashMap<String, usize>,
    pub failed: usize,
}

impl Done {
    /// Whether a photo is there, once for each time that it is.
    pub fn take(&mut self, file: &str) -> bool {
        let left = self.photos.get_mut(&terminal::shown(file));
        left.is_some_and(|left| left.checked_sub(1).map(|fewer| *left = fewer).is_some())
    }

    pub fn count(&self) -> usize {
        self.photos.values().sum()
    }

    fn add(&mut self, file: &str, failed: bool) {
        *self.photos.entry(terminal::shown(file)).or_default() += 1;
        self.failed += usize::from(failed);
    }
}

impl Rows {
    /// Rows on standard output.
    pub fn printed(format: Format, columns: Columns) -> Result<Rows> {
        let mut rows = Rows {
            format,
            file: None,
            columns,
        };
        rows.head()?;
        Ok(rows)
    }

    /// Rows in a new file, or in one that is continued if its rows are of the model `resume` (name and version): a line
    /// that was not finished is removed.
    pub fn kept(
        format: Format,
        columns: Columns,
        path: &Path,
        resume: Option<(&str, &str)>,
    ) -> Result<(Rows, Done)> {
        let named = || format!("cannot write {}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let opened = match resume {
            Some(_) => options.create(true).truncate(false).open(path),
            None => options.create_new(true).open(path),
        };
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::BadOption(format!(
                    "{} exists already; --resume continues it, or name another file",
                    path.display()
                ))
                .into());
            }
            opened => opened.with_context(named)?,
        };
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let name = path.display();
            return Err(Error::BadOption(format!(
                "another whylens is writing {name}; wait for it"
            ))
            .into());
        }
        let mut rows = Rows {
            format,
            file: Some((path.to_path_buf(), file)),
            columns,
        };
        let done = rows.read(resume)?;
        Ok((rows, done))
    }

    /// What is in the file, which is left so that the next row follows.
    fn read(&mut self, model: Option<(&str, &str)>) -> Result<Done> {
        let Some((path, file)) = &mut self.file else {
            return Ok(Done::default());
        };
        let whole = complete(file).with_context(|| format!("cannot read {}", path.display()))?;
        file.seek(SeekFrom::Start(0))?;
        let lines = BufReader::new(file.try_clone()?.take(whole));
        let done = match self.format {
            Format::Csv => read_csv(lines, self.columns),
            _ => read_json(lines, model),
        };
        let done = done
            .with_context(|| Error::BadOption(format!("{} cannot be continued", path.display())))?;
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        if whole == 0 {
            self.head()?;
        }
        Ok(done)
    }

    /// Whether rows are shown on a terminal.
    pub fn are_shown(&self) -> bool {
        use io::IsTerminal;
        self.file.is_none() && io::stdout().is_terminal()
    }

    /// Writes the result of a photo.
    pub fn result(
        &mut self,
        file: &str,
        result: &Classification,
        checked: Option<&check::Outcome>,
    ) -> Result<()> {
        match self.format {
            Format::Text => {
                text(file, result);
                if let Some(Ok(found)) = checked {
                    println!("{}", check::text(found));
                }
                Ok(())
            }
            Format::Json => {
                let mut object = serde_json::to_value(result)?;
                object["file"] = file.into();
                if let Some(outcome) = checked {
                    check::json(&mut object, outcome);
                }
                // A file that is continued is then the same as one of a single run.
                if let (Some(_), Some(fields)) = (&self.file, object.as_object_mut()) {
                    fields.remove("timing");
                }
                self.line(&terminal::json(&object))
            }
            Format::Csv => self.record(cells(file, result, checked, self.columns)),
        }
    }

    /// Writes why there is none.
    pub fn failure(&mut self, file: &str, code: &str, message: &str) -> Result<()> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => {
                let object = json!({ "file": file, "error": { "code": code, "message": message } });
                self.line(&terminal::json(&object))
            }
            Format::Csv => {
                let mut cells = vec![String::new(); head(self.columns).len()];
                cells[0] = file.into();
                *cells.last_mut().context("no columns")? = code.into();
                self.record(cells)
            }
        }
    }

    fn head(&mut self) -> Result<()> {
        match self.format {
            Format::Csv => self.record(head(self.columns)),
            _ => Ok(()),
        }
    }

    /// A photo's line holds no line break and no other control character.
    fn record(&mut self, cells: Vec<String>) -> Result<()> {
        let mut line = csv::Writer::from_writer(Vec::new());
        line.write_record(cells.iter().map(|cell| terminal::shown(cell)))?;
        let line = String::from_utf8(line.into_inner()?)?;
        self.line(line.trim_end_matches('\n'))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        match &mut self.file {
            // All at once, so that whoever is interrupted leaves whole lines where that is possible.
            Some((path, file)) => file
                .write_all(format!("{line}\n").as_bytes())
                .with_context(|| format!("cannot write {}", path.display())),
            None => {
                terminal::out(line);
                Ok(())
            }
        }
    }
}

/// Bytes up to the end of the last whole line.
fn complete(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn read_json(lines: impl BufRead, model: Option<(&str, &str)>) -> Result<Done> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Row {
        file: String,
        error: Option<IgnoredAny>,
        model: Option<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
        version: String,
    }
    let mut done = Done::default();
    for (at, line) in lines.lines().enumerate() {
        let row: Row = serde_json::from_str(&line?)
            .with_context(|| format!("line {} is no result of a photo", at + 1))?;
        if let (Some((name, version)), Some(other)) = (model, &row.model)
            && (name, version) != (&other.name, &other.version)
        {
            bail!(
                "its results are of the model {} {}",
                other.name,
                other.version
            );
        }
        done.add(&row.file, row.error.is_some());
    }
    Ok(done)
}

fn read_csv(lines: impl BufRead, columns: Columns) -> Result<Done> {
    let mut done = Done::default();
    let mut records = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(lines);
    for (at, record) in records.records().enumerate() {
        let record = record.with_context(|| format!("line {} is no result of a photo", at + 1))?;
        if at > 0 {
            let error = record.iter().next_back().unwrap_or_default();
            done.add(&record[0], !error.is_empty());
        } else if !record.iter().eq(head(columns)) {
            bail!("its columns are others; give the same --top-k, and --check or not");
        }
    }
    Ok(done)
}

/// As the page's table.
fn head(columns: Columns) -> Vec<String> {
    let ranks = (1..=columns.predictions)
        .flat_map(|rank| ["label", "probability", "score"].map(|name| format!("{name}_{rank}")));
    let before = ["file", "width", "height"].map(String::from);
    let check = check::COLUMNS.map(String::from).into_iter();
    let check = check.filter(|_| columns.check);
    let after = ["region", "recognised", "error"].map(String::from);
    let before = before.into_iter().chain(ranks);
    before.chain(check).chain(after).collect()
}

fn cells(
    file: &str,
    result: &Classification,
    checked: Option<&check::Outcome>,
    columns: Columns,
) -> Vec<String> {
    let (width, height) = (
        result.image.width.to_string(),
        result.image.height.to_string(),
    );
    let mut cells = vec![file.to_string(), width, height];
    for rank in 0..columns.predictions {
        let found = result.predictions.get(rank);
        let probability = found.filter(|_| result.model.activation != Activation::None);
        cells.extend([
            found.map(|found| found.label.clone()).unwrap_or_default(),
            probability
                .map(|found| found.probability.to_string())
                .unwrap_or_default(),
            found
                .map(|found| found.score.to_string())
                .unwrap_or_default(),
        ]);
    }
    if columns.check {
        cells.extend(check::cells(checked));
    }
    let region = result
        .region
        .map(|part| format!("{} {} {} {}", part.x, part.y, part.width, part.height));
    cells.extend([
        region.unwrap_or_default(),
        result.recognised.to_string(),
        String::new(),
    ]);
    cells
}

fn text(file: &str, result: &Classification) {
    println!("{file}");
    if let Some(percent) = result.partial {
        match percent {
            100 => println!("cut short: a coarse picture, without its detail"),
            _ => println!("cut short: {percent} % of its rows"),
        }
    }
    match (&result.not_recognised, result.recognised) {
        (Some(sentence), _) => println!("{sentence}"),
        (None, false) => println!("not recognised: no class reaches the threshold of the model"),
        (None, true) => {}
    }
    for Prediction {
        index,
        label,
        probability,
        score,
    } in &result.predictions
    {
        match result.model.activation {
            Activation::None => match &result.model.unit {
                None => println!("{score:9.3}  {label} ({index})"),
                Some(unit) => println!("{score:9.3} {unit}  {label} ({index})"),
            },
            _ => println!("{:7.2} %  {label} ({index})", probability * 100.0),
        }
    }
}
