//! Parts of photos → tensors, against Pillow's `crop` and what torchvision makes of it (`tests/golden/regions/make.py`).

use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
use whylens::manifest::{Channels, Crop, Filter, Input, Layout, Resize, ResizeMode};
use whylens::{Limits, Region, crop, decode, preprocess};

use super::golden;

#[derive(Deserialize)]
struct Case {
    file: String,
    region: [f64; 4],
    part: (u32, u32),
    mode: ResizeMode,
    width: u32,
    height: u32,
    size: Option<u32>,
    at: usize,
}

#[test]
fn the_tensor_of_a_region_is_that_of_the_photo_cut_by_pillow() {
    let expected = image::load_from_memory(golden("regions/expected.png"));
    let expected = expected.unwrap().into_luma8().into_raw();
    let cases: Vec<Case> = serde_json::from_slice(golden("regions/cases.json")).unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let name = format!("{} {:?} {:?}", case.file, case.region, case.mode);
        let photo = golden(&format!("photos/{}", case.file));
        let image = decode(photo, &Limits::default()).unwrap();
        let [x, y, width, height] = case.region;
        let wanted = Region {
            x,
            y,
            width,
            height,
        };
        let (part, told) = crop(image, &wanted).unwrap();
        assert_eq!((part.width, part.height), case.part, "{name}");
        let told_size = (told.width as u32, told.height as u32);
        assert_eq!(told_size, case.part, "{name}");
        // As they are in the photo: no scale, no mean.
        let input = Input {
            name: "input".into(),
            layout: Layout::Nhwc,
            channels: Channels::Rgb,
            width: case.width,
            height: case.height,
            resize: Resize {
                mode: case.mode,
                size: case.size,
                filter: Filter::Bilinear,
                antialias: true,
            },
            crop: Crop::Center,
            scale: 1.0,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        };
        let (tensor, _) = preprocess(&part, &input).unwrap();
        let values: Vec<u8> = tensor.values.iter().map(|&value| value as u8).collect();
        assert!(
            values == expected[case.at..][..values.len()],
            "{name}: other pixels"
        );
    }
}
