//! Functions that are computed by a polynomial or a rational function, a vector at a time.

use std::f32::consts::{LN_2, LOG2_E};

use super::super::kernel::Vector;

/// NaN stays.
#[inline(always)]
pub fn limit<V: Vector>(x: V, low: f32, high: f32) -> V {
    x.max(V::splat(low)).min(V::splat(high))
}

/// A polynomial, the coefficient of the highest power first.
#[inline(always)]
fn series<V: Vector, const N: usize>(coefficients: [f32; N], x: V) -> V {
    let mut sum = V::splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = V::splat(coefficient).add_product(sum, x);
    }
    sum
}

/// eˣ, error below 2 units of the last place (1e-5 from 88 on); below -87.3 and above 88.7 as at these. The polynomial
/// is that of S. L. Moshier's Cephes library, `expf`.
#[inline(always)]
pub fn exp<V: Vector>(x: V) -> V {
    // Added to a number below 2²², it leaves the nearest whole number, plus 127, in the lowest bits.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = LN_2 - LN_2_HIGH;
    let x = limit(x, -87.336_54, 88.722_83);
    let round = V::splat(ROUND);
    let power = round.add_product(x, V::splat(LOG2_E));
    let power = power.min(V::splat(ROUND + 127.0));
    let whole = power.sub(round);
    let rest = x.add_product(whole, V::splat(-LN_2_HIGH));
    let rest = rest.add_product(whole, V::splat(-LN_2_LOW));
    let coefficients = [
        1.987_569_2e-4,
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
        1.0,
        1.0,
    ];
    series(coefficients, rest).mul(power.exponents())
}

/// 1 / (1 + e⁻ˣ), error below 2e-7.
#[inline(always)]
pub fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp(V::splat(0.0).sub(x))))
}

/// Error below 4e-7: the rational function of the Eigen library, with limits where it reaches ±1.
#[inline(always)]
pub fn tanh<V: Vector>(x: V) -> V {
    let x = limit(x, -9.0, 9.0);
    let square = x.mul(x);
    let above = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619_4e-4,
        4.893_524_6e-3,
    ];
    let below = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    x.mul(series(above, square)).div(series(below, square))
}

/// Error below 3e-7: the rational function of the Eigen library, with limits where it reaches ±1.
#[inline(always)]
pub fn erf<V: Vector>(x: V) -> V {
    let x = limit(x, -4.0, 4.0);
    let square = x.mul(x);
    let above = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_5e-5,
        -7.349_906_4e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    let below = [
        -1.456_607_2e-5,
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329_4e-3,
        -1.426_473_9e-2,
    ];
    x.mul(series(above, square)).div(series(below, square))
}

#[cfg(test)]
mod tests {
    use super::super::super::kernel::F4;
    use super::*;

    fn at(f: impl Fn(F4) -> F4, x: f32) -> f32 {
        let mut four = [0.0; 4];
        f(F4::splat(x)).write(&mut four);
        four[0]
    }

    fn values() -> impl Iterator<Item = f32> {
        (-40_000..=40_000).map(|n| n as f32 / 1000.0)
    }

    #[track_caller]
    fn near(f: impl Fn(F4) -> F4, of: impl Fn(f64) -> f64, absolute: f64, relative: f64) {
        for x in values() {
            let (actual, expected) = (f64::from(at(&f, x)), of(f64::from(x)));
            let most = absolute.max(relative * expected.abs());
            assert!(
                (actual - expected).abs() <= most,
                "at {x}: {actual}, expected {expected}"
            );
        }
    }

    #[test]
    fn series_are_as_near_as_they_say() {
        near(exp, f64::exp, 0.0, 2.5e-7);
        near(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 2e-7, 0.0);
        near(tanh, f64::tanh, 4e-7, 4e-7);
    }

    /// Values from Python's `math.erf`.
    #[test]
    fn erf_is_as_near_as_it_says() {
        let golden = [
            (0.0, 0.0),
            (0.1, 0.1124629160182849),
            (0.5, 0.5204998778130465),
            (1.0, 0.8427007929497149),
            (2.0, 0.9953222650189527),
            (3.5, 0.9999992569016276),
            (9.0, 1.0),
        ];
        for (x, expected) in golden {
            for sign in [1.0, -1.0] {
                let off = f64::from(at(erf, sign * x)) - f64::from(sign) * expected;
                assert!(off.abs() <= 3e-7, "at {x}: {off:e}");
            }
        }
    }

    #[test]
    fn ends_of_the_range() {
        let [exp, tanh, sigmoid] = [exp, tanh, sigmoid].map(|f| move |x| at(f, x));
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(-1e30) < 2e-38);
        assert!(exp(f32::INFINITY) > 3e38);
        assert_eq!(exp(0.0), 1.0);
        assert!((exp(88.5) / 88.5f32.exp() - 1.0).abs() < 1e-4);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([tanh(1e30), tanh(-1e30)].map(f32::round), [1.0, -1.0]);
        assert_eq!(sigmoid(1e30), 1.0);
        assert!(sigmoid(-1e30) < 1e-38);
    }
}
