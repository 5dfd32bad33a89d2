//! SVG or PNG → a logo that may be published, and the icons of an installed page.

use std::io::Cursor;

use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use image::{ImageFormat, ImageReader, Rgba, RgbaImage};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, roxmltree};

use super::wrong;

/// Most bytes of the file: every visitor fetches it.
pub const MOST_BYTES: u64 = 500_000;

/// Sides of a PNG in pixels.
const LEAST: u32 = 192;
const MOST: u32 = 8192;

/// Longest side of a PNG as it is published: three times the height at which it is shown, for sharp screens.
const KEPT: u32 = 512;

/// Width for a height of 1, beyond which it would not be seen in a square.
const LONGEST: f32 = 6.0;

/// Elements that run scripts, hold pages or need fonts.
const REFUSED: [(&str, &str); 8] = [
    ("script", "scripts"),
    ("foreignObject", "a page inside"),
    ("iframe", "a page inside"),
    ("audio", "sound"),
    ("video", "a video"),
    (
        "text",
        "text, which needs a font that visitors may not have; convert it to paths",
    ),
    ("animate", "an animation"),
    ("set", "an animation"),
];

/// A logo, or a plain picture in its place.
pub enum Logo {
    Svg { text: String, tree: Box<usvg::Tree> },
    Png(RgbaImage),
}

impl Logo {
    /// Reads and checks a file.
    pub fn read(name: &str, bytes: Vec<u8>) -> Result<Logo> {
        let refuse = |what: &str| wrong(&format!("the logo {name} {what}"));
        let logo = if bytes.starts_with(b"\x89PNG") {
            let mut reader = ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Png);
            let mut limits = image::Limits::default();
            limits.max_image_width = Some(MOST);
            limits.max_image_height = Some(MOST);
            reader.limits(limits);
            let picture = reader
                .decode()
                .map_err(|error| refuse(&format!("cannot be read: {error}")))?;
            let picture = picture.into_rgba8();
            let least = picture.width().min(picture.height());
            if picture.width().max(picture.height()) < LEAST || least == 0 {
                let (width, height) = picture.dimensions();
                return Err(refuse(&format!(
                    "has {width} × {height} pixels; use a larger one, with at least {LEAST} on the longer side, or an SVG"
                )));
            }
            Logo::Png(picture)
        } else {
            let text =
                String::from_utf8(bytes).map_err(|_| refuse("is neither an SVG nor a PNG file"))?;
            Logo::svg(text).map_err(|what| refuse(&what))?
        };
        let (width, height) = logo.size();
        if !(1.0 / LONGEST..=LONGEST).contains(&(width / height)) {
            return Err(refuse(&format!(
                "is {width:.0} × {height:.0}: too long to be seen in a square icon; use a part of it"
            )));
        }
        Ok(logo)
    }

    /// A picture drawn by this program.
    pub fn drawn(text: String) -> Result<Logo> {
        Logo::svg(text).map_err(|what| wrong(&format!("the icon {what}")))
    }

    fn svg(text: String) -> Result<Logo, String> {
        // Entities may grow without end; with this reader they are an error, as is what follows the picture.
        let document = roxmltree::Document::parse(&text).map_err(|error| {
            format!("is neither a PNG nor an SVG file without entities: {error}")
        })?;
        harmless(&document)?;
        let tree = usvg::Tree::from_xmltree(&document, &usvg::Options::default())
            .map_err(|error| format!("cannot be drawn: {error}"))?;
        Ok(Logo::Svg {
            tree: Box::new(tree),
            text,
        })
    }

    fn size(&self) -> (f32, f32) {
        match self {
            Logo::Svg { tree, .. } => (tree.size().width(), tree.size().height()),
            Logo::Png(picture) => (picture.width() as f32, picture.height() as f32),
        }
    }

    /// Its ending, its type, and its bytes as they are published.
    pub fn published(&self) -> Result<(&'static str, &'static str, Vec<u8>)> {
        Ok(match self {
            Logo::Svg { text, .. } => ("svg", "image/svg+xml", text.clone().into_bytes()),
            Logo::Png(picture) => {
                let scale = KEPT as f32 / picture.width().max(picture.height()) as f32;
                let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
                let kept = match scale < 1.0 {
                    true => imageops::resize(
                        picture,
                        side(picture.width()),
                        side(picture.height()),
                        FilterType::Lanczos3,
                    ),
                    false => picture.clone(),
                };
                ("png", "image/png", png(&kept)?)
            }
        })
    }

    /// A square PNG of `side` pixels: the logo takes `share` of the side, on `ground`.
    pub fn icon(&self, side: u32, share: f32, ground: [u8; 3]) -> Result<Vec<u8>> {
        let (width, height) = self.size();
        let scale = side as f32 * share / width.max(height);
        let (left, top) = (
            (side as f32 - width * scale) / 2.0,
            (side as f32 - height * scale) / 2.0,
        );
        let [r, g, b] = ground;
        let mut icon = RgbaImage::from_pixel(side, side, Rgba([r, g, b, 255]));
        match self {
            Logo::Svg { tree, .. } => {
                let mut drawn = Pixmap::new(side, side).context("an icon has no size")?;
                let place = Transform::from_row(scale, 0.0, 0.0, scale, left, top);
                resvg::render(tree, place, &mut drawn.as_mut());
                let pixels = drawn.pixels().iter().flat_map(|pixel| {
                    let pixel = pixel.demultiply();
                    [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()]
                });
                let drawn = RgbaImage::from_raw(side, side, pixels.collect());
                imageops::overlay(&mut icon, &drawn.context("an icon has no pixels")?, 0, 0);
            }
            Logo::Png(picture) => {
                let pixels = |length: f32| ((length * scale).round() as u32).max(1);
                let small =
                    imageops::resize(picture, pixels(width), pixels(height), FilterType::Lanczos3);
                imageops::overlay(&mut icon, &small, left.round() as i64, top.round() as i64);
            }
        }
        png(&icon)
    }
}

/// What an SVG may not have where it is opened by its own address.
fn harmless(document: &roxmltree::Document) -> Result<(), String> {
    for node in document.descendants() {
        if node.is_pi() {
            return Err("has a processing instruction (<?…?>); remove it".into());
        }
        if !node.is_element() {
            continue;
        }
        let name = node.tag_name().name();
        let refused = REFUSED
            .iter()
            .find(|(refused, _)| name.starts_with(refused));
        if let Some((_, what)) = refused {
            return Err(format!("has <{name}>: {what}"));
        }
        if name == "style" && node.text().is_some_and(reaches_out) {
            return Err("has a <style> that refers to other files; remove that".into());
        }
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value().trim());
            if key.to_ascii_lowercase().starts_with("on") {
                return Err(format!("has `{key}`, a script; remove it"));
            }
            let inner = value.starts_with('#')
                || value.starts_with("data:image/png")
                || value.starts_with("data:image/jpeg");
            if matches!(key, "href" | "src") && !inner {
                return Err(format!(
                    "refers to {value}, which is not in it; remove that"
                ));
            }
            if reaches_out(value) {
                return Err(format!(
                    "has `{key}` that refers to another file; remove it"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a style refers to something that is not in the same file.
fn reaches_out(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let mut links = style.split("url(").skip(1);
    style.contains("@import")
        || links.any(|link| !link.trim_start_matches([' ', '"', '\'']).starts_with('#'))
}

fn png(picture: &RgbaImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(inside: &str) -> Result<Logo> {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" viewBox=\"0 0 8 8\">{inside}</svg>"
        );
        Logo::read("logo.svg", text.into_bytes())
    }

    #[test]
    fn an_svg_that_could_do_more_than_be_seen_is_refused() {
        for (inside, said) in [
            ("<script>1</script>", "<script>"),
            ("<text>A</text>", "convert it to paths"),
            ("<foreignObject/>", "a page inside"),
            (
                "<rect onclick=\"a()\" width=\"8\" height=\"8\"/>",
                "`onclick`, a script",
            ),
            (
                "<a xlink:href=\"javascript:a()\"><rect/></a>",
                "refers to javascript:a()",
            ),
            (
                "<image href=\"https://example.org/a.png\"/>",
                "refers to https://example.org/a.png",
            ),
            (
                "<image href=\"data:image/svg+xml,%3Csvg/%3E\"/>",
                "refers to data:image/svg+xml",
            ),
            ("<style>@import 'a.css';</style>", "<style>"),
            (
                "<rect style=\"fill: url(https://example.org/a)\"/>",
                "`style`",
            ),
            ("<rect fill=\"URL( 'https://example.org/a')\"/>", "`fill`"),
            ("<animateTransform/>", "an animation"),
            ("&a;", "entities"),
        ] {
            let error = svg(inside).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(said), "{inside}: {error}");
        }
        let entity = "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        Logo::read("logo.svg", entity.into())
            .map(|_| ())
            .unwrap_err();
        let styled = "<defs><linearGradient id=\"g\"><stop stop-color=\"red\"/></linearGradient></defs>\
                      <rect width=\"8\" height=\"4\" fill=\"url(#g)\"/>";
        svg(styled).unwrap();
    }

    #[test]
    fn an_icon_holds_the_whole_logo_in_its_middle() {
        let wide = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 20\"><rect width=\"40\" height=\"20\" fill=\"#00f\"/></svg>";
        let drawn = Logo::read("a.svg", wide.into()).unwrap();
        let picture = RgbaImage::from_pixel(400, 200, Rgba([0, 0, 255, 255]));
        let loaded = Logo::read("a.png", png(&picture).unwrap()).unwrap();
        for logo in [drawn, loaded] {
            let icon = logo.icon(100, 0.8, [255; 3]).unwrap();
            let icon = image::load_from_memory(&icon).unwrap().into_rgba8();
            assert_eq!(icon.dimensions(), (100, 100));
            let at = |x, y| icon.get_pixel(x, y).0;
            let (ground, blue) = ([255; 4], [0, 0, 255, 255]);
            assert_eq!([at(50, 50), at(12, 50), at(88, 50), at(50, 33)], [blue; 4]);
            assert_eq!([at(7, 50), at(93, 50), at(50, 27), at(50, 73)], [ground; 4]);
        }
    }

    #[test]
    fn a_logo_that_nobody_could_see_is_refused() {
        let small = png(&RgbaImage::new(32, 32)).unwrap();
        let error = Logo::read("a.png", small)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("32 × 32 pixels"), "{error}");
        let long = png(&RgbaImage::new(1400, 100)).unwrap();
        let error = Logo::read("a.png", long)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("too long"), "{error}");
        let other = Logo::read("a.gif", b"GIF89a".into())
            .map(|_| ())
            .unwrap_err();
        assert!(
            other.to_string().contains("neither a PNG nor an SVG"),
            "{other}"
        );
    }

    #[test]
    fn a_large_png_is_published_small() {
        let picture = RgbaImage::from_pixel(2000, 1000, Rgba([1, 2, 3, 255]));
        let logo = Logo::read("a.png", png(&picture).unwrap()).unwrap();
        let (_, _, bytes) = logo.published().unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().width(), KEPT);
    }
}
