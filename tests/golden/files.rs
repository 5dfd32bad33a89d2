//! Pictures as scanners, old programs and accidents leave them, against Pillow (`tests/golden/files/make.py`).

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::{Limits, decode};

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

#[test]
fn pictures_are_those_of_pillow() {
    let cases: Vec<Case> = serde_json::from_slice(bytes("cases.json")).unwrap();
    let pixels = image::load_from_memory(bytes("expected.png")).unwrap();
    let pixels = pixels.into_luma8().into_raw();
    let mut wrong = Vec::new();
    for Case { file, image, at } in &cases {
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
        if many > 0 {
            wrong.push(format!(
                "{file}: {many} of {} values differ, by {most} at most",
                expected.len()
            ));
        }
    }
    assert!(cases.len() > 30);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
