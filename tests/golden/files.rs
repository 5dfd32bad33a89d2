//! Pictures as scanners, old programs and accidents leave them, against Pillow (`tests/golden/files/make.py`).

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::{Error, Limits, decode, decode_partial};

use super::golden;

#[derive(Deserialize)]
struct Case {
    file: String,
    image: (u32, u32),
    at: usize,
}

fn bytes(name: &str) -> &'static [u8] {
    golden(&format!("files/{name}"))
}

/// A damaged photo of which libjpeg-turbo-rs reads other bits on wasm32, whose numbers have 32 bits: behind the damage,
/// a fifth of its values differ from Pillow's. No sound photo does.
const OTHER_ON_WASM: &str = "jpeg-420-bit-0.jpg";

#[test]
fn pictures_are_those_of_pillow() {
    let cases: Vec<Case> = serde_json::from_slice(bytes("cases.json")).unwrap();
    let pixels = image::load_from_memory(bytes("expected.png")).unwrap();
    let pixels = pixels.into_luma8().into_raw();
    let mut wrong = Vec::new();
    for Case { file, image, at } in &cases {
        let decode = match file.ends_with("-cut.jpg") {
            true => decode_partial,
            false => decode,
        };
        let decoded = match decode(bytes(file), &Limits::default()) {
            Ok(decoded) => decoded,
            Err(error) => {
                wrong.push(format!("{file}: {error}"));
                continue;
            }
        };
        assert_eq!((decoded.width, decoded.height), *image, "{file}");
        let expected = &pixels[*at..][..decoded.rgb.len()];
        let apart = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let differences: Vec<u8> = decoded.rgb.iter().zip(expected).map(apart).collect();
        let most = differences.iter().max().unwrap();
        let many = differences.iter().filter(|&&levels| levels > 0).count();
        if many > 0 && !(cfg!(target_arch = "wasm32") && file == OTHER_ON_WASM) {
            wrong.push(format!(
                "{file}: {many} of {} values differ, by {most} at most",
                expected.len()
            ));
        }
    }
    assert!(cases.len() > 30);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How much of a file that is cut short is there, by the error that refuses it.
#[track_caller]
fn there(file: &[u8]) -> Option<u8> {
    match decode(file, &Limits::default()) {
        Err(Error::ImageCut { percent, message }) => {
            let told = percent.is_none_or(|percent| {
                percent == 100 || message.contains(&format!("{percent} % of its rows"))
            });
            assert!(told, "{message}");
            percent
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_photo_cut_short_tells_how_much_is_there_and_gives_it_when_asked() {
    for file in [
        "photos/png-rgb.png",
        "photos/png-16.png",
        "photos/gif.gif",
        "photos/bmp-24.bmp",
        "photos/bmp-8.bmp",
        "photos/tiff-associated.tif",
        "photos/qoi.qoi",
        "files/gif-interlaced.gif",
        "files/bmp-os2-2.bmp",
        "files/tiff-big.tif",
    ] {
        let whole = golden(file);
        let complete = decode(whole, &Limits::default()).unwrap();
        let row = complete.columns as usize * 3;
        for length in [whole.len() * 7 / 10, whole.len() * 8 / 10] {
            let cut = &whole[..length];
            let percent = there(cut).unwrap();
            let partial = decode_partial(cut, &Limits::default()).unwrap();
            assert_eq!(partial.partial, Some(percent), "{file}");
            assert!((20..=90).contains(&percent), "{file}: {percent} %");
            let rows = partial.rgb.chunks(row).zip(complete.rgb.chunks(row));
            let same = rows.filter(|(a, b)| a == b).count();
            let most = complete.rows as usize * usize::from(percent) / 100;
            assert!(
                same >= most,
                "{file}: {same} rows are the same, {percent} % said"
            );
        }
    }
    assert_eq!(there(bytes("jpeg-progressive-cut.jpg")), Some(100));
    let webp = golden("photos/webp-lossy.webp");
    assert_eq!(there(&webp[..webp.len() / 2]), None);
    let lzw = golden("photos/tiff-lzw.tif");
    assert_eq!(
        there(&lzw[..lzw.len() / 2]),
        None,
        "the directory is at the end"
    );
    let jpeg = golden("photos/jpeg-420.jpg");
    assert_eq!(there(&jpeg[..100]), Some(0));
    assert!(decode_partial(&jpeg[..100], &Limits::default()).is_err());
    assert_eq!(decode(jpeg, &Limits::default()).unwrap().partial, None);
}

#[test]
fn a_huge_jpeg_is_read_at_a_part_of_its_size() {
    let few = |pixels| Limits {
        pixels,
        ..Limits::default()
    };
    // 4096 × 4096 grey pixels.
    let huge = bytes("jpeg-huge.jpg");
    for (pixels, side) in [(64_000_000, 2048), (16_000_000, 1024), (4_200_000, 1024)] {
        let image = decode(huge, &few(pixels)).unwrap();
        assert_eq!((image.width, image.height), (4096, 4096));
        assert_eq!(
            (image.columns, image.rows),
            (side, side),
            "at most {pixels} pixels"
        );
        // 64 stripes from black to almost white.
        let middle = &image.rgb[(side * side / 2 * 3) as usize..][..side as usize * 3];
        for (x, pixel) in middle.chunks(3).enumerate() {
            let expected = (x as u32 * 64 / side * 4) as u8;
            assert!(pixel[0].abs_diff(expected) <= 1, "{x}: {pixel:?}");
        }
    }
    let error = decode(huge, &few(4_000_000)).unwrap_err();
    assert_eq!(error.code(), "image-too-large");
    assert!(
        error
            .to_string()
            .contains("4096 × 4096 pixels, at most 16 megapixels"),
        "{error}"
    );
}
