//! Where the mass of maps lies, against scipy; the values are made by `tests/golden/evidence/places.py`.

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::Evidence;
use whylens::internal::Map;

use super::golden;

#[derive(Deserialize)]
struct Case {
    shape: [usize; 2],
    values: Vec<f32>,
    evidence: Option<Evidence>,
    opposing: Option<Evidence>,
}

#[test]
fn centres_shares_spots_and_sides_are_those_of_scipy() {
    let cases: Vec<Case> = serde_json::from_slice(golden("evidence/places.json")).unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let [height, width] = case.shape;
        let most = case.values.iter().map(|value| value.abs());
        let map = Map {
            width,
            height,
            max: most.fold(0.0, f32::max),
            signed: true,
            values: case.values,
        };
        compare(Evidence::of(&map), case.evidence);
        compare(Evidence::opposing(&map), case.opposing);
    }
}

#[track_caller]
fn compare(found: Option<Evidence>, expected: Option<Evidence>) {
    let (Some(found), Some(expected)) = (&found, &expected) else {
        return assert_eq!(found, expected);
    };
    for (found, expected) in [
        (found.x, expected.x),
        (found.y, expected.y),
        (found.share, expected.share),
    ] {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
    assert_eq!(found.spots, expected.spots);
    assert_eq!(found.border, expected.border);
}
