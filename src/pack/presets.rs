//! Numbers that many classifiers are trained with: value = (pixel × scale − mean) / std.

use serde::Serialize;

use super::Options;
use crate::error::{Error, Result};
use crate::manifest::Channels;

/// How pixels become values, by a name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Preset {
    /// The name that it is chosen by.
    pub name: &'static str,
    /// The order of colours.
    pub channels: Channels,
    /// Factor applied to pixels (0..=255) first.
    pub scale: f64,
    /// Subtracted after scaling, in the order of `channels`.
    pub mean: Colours,
    /// Divided by last, in the order of `channels`.
    pub std: Colours,
}

/// One value per colour.
pub type Colours = [f64; 3];

const fn rgb(name: &'static str, scale: f64, mean: Colours, std: Colours) -> Preset {
    Preset {
        name,
        channels: Channels::Rgb,
        scale,
        mean,
        std,
    }
}

/// The presets, beginning with the most common.
pub const PRESETS: [Preset; 7] = [
    // `IMAGENET_DEFAULT_MEAN` of timm, and all weights of torchvision.
    rgb(
        "imagenet",
        1.0 / 255.0,
        [0.485, 0.456, 0.406],
        [0.229, 0.224, 0.225],
    ),
    // `OPENAI_CLIP_MEAN` of timm and transformers.
    rgb(
        "clip",
        1.0 / 255.0,
        [0.48145466, 0.4578275, 0.40821073],
        [0.26862954, 0.26130258, 0.27577711],
    ),
    // `IMAGENET_INCEPTION_MEAN` of timm, `IMAGENET_STANDARD_MEAN` of transformers.
    rgb("half", 1.0 / 255.0, [0.5; 3], [0.5; 3]),
    rgb("unit", 1.0 / 255.0, [0.0; 3], [1.0; 3]),
    // `preprocess_input` of `keras.applications` with `mode='tf'`.
    rgb("keras", 1.0 / 127.5, [1.0; 3], [1.0; 3]),
    // The same with `mode='caffe'`.
    Preset {
        channels: Channels::Bgr,
        ..rgb("caffe", 1.0, [103.939, 116.779, 123.68], [1.0; 3])
    },
    // Graphs that scale pixels themselves.
    rgb("raw", 1.0, [0.0; 3], [1.0; 3]),
];

/// The options with what their preset stands for.
///
/// # Errors
/// [`Error::BadOption`] for an unknown preset, or one beside numbers.
pub(super) fn fill(options: &Options) -> Result<Options> {
    let Some(name) = &options.preset else {
        return Ok(options.clone());
    };
    if options.scale.is_some() || options.mean.is_some() || options.std.is_some() {
        return Err(Error::BadOption(format!(
            "the preset {name} stands for a scale, a mean and a std; leave these out, or the preset"
        )));
    }
    let preset = PRESETS.into_iter().find(|preset| preset.name == name);
    let preset = preset.ok_or_else(|| {
        let names = PRESETS.map(|preset| preset.name).join(", ");
        Error::BadOption(format!("there is no preset {name}, only {names}"))
    })?;
    Ok(Options {
        channels: options.channels.or(Some(preset.channels)),
        scale: Some(preset.scale),
        mean: Some(preset.mean.to_vec()),
        std: Some(preset.std.to_vec()),
        ..options.clone()
    })
}

/// The numbers of a preset for a graph that takes grey: the average of the colours.
pub(super) fn grey(colours: &[f64]) -> Vec<f64> {
    vec![colours.iter().sum::<f64>() / colours.len() as f64]
}

/// The presets for a graph that takes `channels`.
#[cfg(any(target_arch = "wasm32", test))]
pub fn fitting(channels: Channels) -> Vec<Preset> {
    let mut presets = PRESETS.to_vec();
    if channels == Channels::Grey {
        for preset in &mut presets {
            preset.channels = channels;
            preset.mean = [grey(&preset.mean)[0]; 3];
            preset.std = [grey(&preset.std)[0]; 3];
        }
    }
    presets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str) -> Options {
        Options {
            preset: Some(name.into()),
            ..Options::default()
        }
    }

    #[test]
    fn a_preset_stands_for_numbers_and_colours() {
        let caffe = fill(&preset("caffe")).unwrap();
        assert_eq!(caffe.channels, Some(Channels::Bgr));
        assert_eq!(caffe.scale, Some(1.0));
        assert_eq!(caffe.mean.unwrap()[0], 103.939);
        let rgb = Options {
            channels: Some(Channels::Rgb),
            ..preset("caffe")
        };
        assert_eq!(fill(&rgb).unwrap().channels, Some(Channels::Rgb));
        let error = fill(&preset("coffee")).unwrap_err().to_string();
        assert!(
            error.ends_with("only imagenet, clip, half, unit, keras, caffe, raw"),
            "{error}"
        );
        let both = Options {
            scale: Some(1.0),
            ..preset("unit")
        };
        assert_eq!(fill(&both).unwrap_err().code(), "bad-option");
    }

    #[test]
    fn grey_takes_the_average_of_three_colours() {
        let [imagenet, .., raw] = &fitting(Channels::Grey)[..] else {
            panic!("there are presets");
        };
        assert!(
            (imagenet.mean[0] - 0.449).abs() < 1e-12 && (imagenet.std[0] - 0.226).abs() < 1e-12
        );
        assert_eq!(
            (raw.mean[0], raw.std[0], raw.channels),
            (0.0, 1.0, Channels::Grey)
        );
        assert_eq!(fitting(Channels::Rgb), PRESETS);
    }
}
