//! A heatmap → where its mass lies, in how many spots, and whether it reaches the border.

use serde::{Deserialize, Serialize};

use super::Map;

/// Form and place of what a map shows of one sign. Fractions are of the map, and so of the region that it covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The centre of mass from the left edge, 0 to 1; a cell's mass lies in its middle.
    pub x: f32,
    /// The centre of mass from the upper edge, 0 to 1.
    pub y: f32,
    /// The smallest part of the cells that holds half of the mass, above 0 to 1.
    pub share: f32,
    /// Spots: groups of cells of at least half of the largest value that touch each other by a side or a corner, as
    /// `scipy.ndimage.label` counts them with a structure of 3 × 3 ones.
    pub spots: usize,
    /// Sides of the map that a spot touches, clockwise from the top.
    pub border: Vec<Side>,
}

/// A side of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Side {
    Top,
    Right,
    Bottom,
    Left,
}

impl Evidence {
    /// Of what is above zero: what a map is of, or of both signs what raises the score. None: nothing is.
    pub fn of(map: &Map) -> Option<Evidence> {
        Evidence::found(&map.values, map.width)
    }

    /// Of what is below zero: in a map of both signs what lowers the score. None: nothing is.
    pub fn opposing(map: &Map) -> Option<Evidence> {
        let negative: Vec<f32> = map.values.iter().map(|value| -value).collect();
        Evidence::found(&negative, map.width)
    }

    /// Of the values above zero, row-major.
    fn found(values: &[f32], width: usize) -> Option<Evidence> {
        let max = values.iter().copied().fold(0.0, f32::max);
        if width == 0 || max <= 0.0 {
            return None;
        }
        let height = values.len() / width;
        let (mut mass, mut across, mut down) = (0.0, 0.0, 0.0);
        for (at, &value) in values.iter().enumerate() {
            let value = f64::from(value.max(0.0));
            mass += value;
            across += value * ((at % width) as f64 + 0.5);
            down += value * ((at / width) as f64 + 0.5);
        }
        let (spots, border) = spots(values, width, max / 2.0);
        Some(Evidence {
            x: (across / mass / width as f64) as f32,
            y: (down / mass / height as f64) as f32,
            share: holding_half(values, mass) as f32 / values.len() as f32,
            spots,
            border,
        })
    }
}

/// The fewest cells that hold half of the mass.
fn holding_half(values: &[f32], mass: f64) -> usize {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|&v| v > 0.0).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut held = 0.0;
    let short = sorted.iter().take_while(|&&value| {
        let is_short = held < mass / 2.0;
        held += f64::from(value);
        is_short
    });
    short.count()
}

/// How many groups of cells of at least `least` there are, and which sides they touch.
fn spots(values: &[f32], width: usize, least: f32) -> (usize, Vec<Side>) {
    let height = values.len() / width;
    let mut left: Vec<bool> = values.iter().map(|&value| value >= least).collect();
    let mut spots = 0;
    let mut touched = [false; 4];
    for start in 0..left.len() {
        if !left[start] {
            continue;
        }
        spots += 1;
        left[start] = false;
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            for (touched, touches) in
                touched
                    .iter_mut()
                    .zip([y == 0, x + 1 == width, y + 1 == height, x == 0])
            {
                *touched |= touches;
            }
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    let next = y * width + x;
                    if std::mem::take(&mut left[next]) {
                        open.push(next);
                    }
                }
            }
        }
    }
    let sides = [Side::Top, Side::Right, Side::Bottom, Side::Left];
    let border = sides.into_iter().zip(touched);
    (
        spots,
        border.filter(|side| side.1).map(|side| side.0).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heatmap::Sign;

    #[test]
    fn nothing_is_no_evidence() {
        let zero = Map::of(2, 2, vec![0.0; 4], Sign::Both);
        assert_eq!(
            (Evidence::of(&zero), Evidence::opposing(&zero)),
            (None, None)
        );
        let one_sided = Map::of(2, 1, vec![-1.0, -2.0], Sign::Both);
        assert_eq!(Evidence::of(&one_sided), None);
        assert_eq!(Evidence::opposing(&one_sided).unwrap().share, 0.5);
    }

    #[test]
    fn cells_that_touch_by_a_corner_are_one_spot() {
        let found = |values: [f32; 9]| {
            let map = Map::of(3, 3, values.to_vec(), Sign::For);
            let Evidence { spots, border, .. } = Evidence::of(&map).unwrap();
            (spots, border)
        };
        assert_eq!(
            found([1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]),
            (1, vec![Side::Top, Side::Left])
        );
        assert_eq!(
            found([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.4]),
            (2, vec![Side::Top, Side::Bottom, Side::Left])
        );
        assert_eq!(
            found([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
            (1, vec![])
        );
    }
}
