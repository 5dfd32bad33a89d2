//! Functions of one number and of two, value by value. All are free of branches, so that the compiler makes vectors of
//! the loops over them.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LOG2_E, PI};

/// A function of one number. Those with a parameter have it as `p`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Abs,
    Neg,
    Exp,
    Ln,
    Square,
    Sqrt,
    /// 1 / √x
    Rsqrt,
    /// 1 / x
    Recip,
    Sin,
    Cos,
    Atan,
    Tanh,
    Sinh,
    Cosh,
    Erf,
    Sigmoid,
    /// x · sigmoid(x)
    Silu,
    /// x · clamp(x / 6 + 0.5, 0, 1)
    HardSwish,
    /// x · Φ(x), Φ that of the normal distribution
    Gelu,
    /// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 xᵖ)))
    GeluTanh,
    /// p · x below 0
    LeakyRelu,
    /// xᵖ
    Power,
    Round,
    Floor,
    Ceil,
}

/// A function of two numbers, `a` and `b`. Comparisons give 1 or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add,
    Sub,
    /// b - a
    SubFrom,
    Mul,
    Div,
    Min,
    Max,
    Pow,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Unary {
    /// In the order of their numbers in a plan.
    pub const ALL: [Unary; 25] = [
        Unary::Abs,
        Unary::Neg,
        Unary::Exp,
        Unary::Ln,
        Unary::Square,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Recip,
        Unary::Sin,
        Unary::Cos,
        Unary::Atan,
        Unary::Tanh,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Erf,
        Unary::Sigmoid,
        Unary::Silu,
        Unary::HardSwish,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::LeakyRelu,
        Unary::Power,
        Unary::Round,
        Unary::Floor,
        Unary::Ceil,
    ];

    /// The function at each value, in place.
    pub fn apply(self, p: f32, values: &mut [f32]) {
        fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
            values.iter_mut().for_each(|value| *value = f(*value));
        }
        match self {
            Unary::Abs => each(values, f32::abs),
            Unary::Neg => each(values, |x| -x),
            Unary::Exp => each(values, exp),
            Unary::Ln => each(values, f32::ln),
            Unary::Square => each(values, |x| x * x),
            Unary::Sqrt => each(values, f32::sqrt),
            Unary::Rsqrt => each(values, |x| 1.0 / x.sqrt()),
            Unary::Recip => each(values, |x| 1.0 / x),
            Unary::Sin => each(values, f32::sin),
            Unary::Cos => each(values, f32::cos),
            Unary::Atan => each(values, f32::atan),
            Unary::Tanh => each(values, tanh),
            Unary::Sinh => each(values, f32::sinh),
            Unary::Cosh => each(values, f32::cosh),
            Unary::Erf => each(values, erf),
            Unary::Sigmoid => each(values, sigmoid),
            Unary::Silu => each(values, |x| x * sigmoid(x)),
            Unary::HardSwish => each(values, |x| x * limit(x / 6.0 + 0.5, 0.0, 1.0)),
            Unary::Gelu => each(values, |x| 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))),
            Unary::GeluTanh => each(values, |x| 0.5 * x * (1.0 + tanh(inner(x, p)))),
            Unary::LeakyRelu => each(values, |x| if x < 0.0 { p * x } else { x }),
            Unary::Power => each(values, |x| x.powf(p)),
            Unary::Round => each(values, f32::round_ties_even),
            Unary::Floor => each(values, f32::floor),
            Unary::Ceil => each(values, f32::ceil),
        }
    }

    /// The derivative at each value, in place.
    pub fn slope(self, p: f32, values: &mut [f32]) {
        fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
            values.iter_mut().for_each(|value| *value = f(*value));
        }
        match self {
            Unary::Abs => each(values, |x| f32::from(x > 0.0) - f32::from(x < 0.0)),
            Unary::Neg => each(values, |_| -1.0),
            Unary::Exp => each(values, exp),
            Unary::Ln => each(values, |x| 1.0 / x),
            Unary::Square => each(values, |x| 2.0 * x),
            Unary::Sqrt => each(values, |x| 0.5 / x.sqrt()),
            Unary::Rsqrt => each(values, |x| -0.5 / (x * x.sqrt())),
            Unary::Recip => each(values, |x| -1.0 / (x * x)),
            Unary::Sin => each(values, f32::cos),
            Unary::Cos => each(values, |x| -x.sin()),
            Unary::Atan => each(values, |x| 1.0 / (1.0 + x * x)),
            Unary::Tanh => each(values, |x| 1.0 - tanh(x) * tanh(x)),
            Unary::Sinh => each(values, f32::cosh),
            Unary::Cosh => each(values, f32::sinh),
            Unary::Erf => each(values, |x| FRAC_2_SQRT_PI * exp(-x * x)),
            Unary::Sigmoid => each(values, |x| sigmoid(x) * (1.0 - sigmoid(x))),
            Unary::Silu => each(values, |x| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))),
            Unary::HardSwish => each(values, |x| match x {
                x if x <= -3.0 => 0.0,
                x if x >= 3.0 => 1.0,
                x => x / 3.0 + 0.5,
            }),
            Unary::Gelu => each(values, |x| {
                let bell = exp(-0.5 * x * x) / (2.0 * PI).sqrt();
                0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * bell
            }),
            Unary::GeluTanh => each(values, |x| {
                let scale = (2.0 / PI).sqrt();
                let slope = scale * (1.0 + 0.044715 * p * x.powi(p as i32 - 1));
                let tanh = tanh(inner(x, p));
                0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope
            }),
            Unary::LeakyRelu => each(values, |x| if x > 0.0 { 1.0 } else { p }),
            Unary::Power => each(values, |x| p * x.powf(p - 1.0)),
            Unary::Round | Unary::Floor | Unary::Ceil => values.fill(0.0),
        }
    }

    /// Multiplications that take as long as one value.
    pub fn cost(self) -> usize {
        match self {
            Unary::Abs | Unary::Neg | Unary::Square | Unary::LeakyRelu | Unary::HardSwish => 4,
            Unary::Power | Unary::Ln | Unary::Sin | Unary::Cos | Unary::Atan => 64,
            _ => 16,
        }
    }
}

/// The right operand of a [`Binary`].
pub enum Right<'a> {
    /// The same for all.
    One(f32),
    /// One for each.
    Each(&'a [f32]),
}

impl Binary {
    /// In the order of their numbers in a plan.
    pub const ALL: [Binary; 13] = [
        Binary::Add,
        Binary::Sub,
        Binary::SubFrom,
        Binary::Mul,
        Binary::Div,
        Binary::Min,
        Binary::Max,
        Binary::Pow,
        Binary::Equal,
        Binary::Greater,
        Binary::GreaterEqual,
        Binary::Less,
        Binary::LessEqual,
    ];

    /// The function of each value and its right operand, in place.
    pub fn apply(self, values: &mut [f32], right: Right) {
        fn each(values: &mut [f32], right: Right, f: impl Fn(f32, f32) -> f32) {
            match right {
                Right::One(b) => values.iter_mut().for_each(|a| *a = f(*a, b)),
                Right::Each(right) => {
                    let pairs = values.iter_mut().zip(right);
                    pairs.for_each(|(a, b)| *a = f(*a, *b));
                }
            }
        }
        match self {
            Binary::Add => each(values, right, |a, b| a + b),
            Binary::Sub => each(values, right, |a, b| a - b),
            Binary::SubFrom => each(values, right, |a, b| b - a),
            Binary::Mul => each(values, right, |a, b| a * b),
            Binary::Div => each(values, right, |a, b| a / b),
            Binary::Min => each(values, right, |a, b| if b < a { b } else { a }),
            Binary::Max => each(values, right, |a, b| if a < b { b } else { a }),
            Binary::Pow => each(values, right, f32::powf),
            Binary::Equal => each(values, right, |a, b| f32::from(a == b)),
            Binary::Greater => each(values, right, |a, b| f32::from(a > b)),
            Binary::GreaterEqual => each(values, right, |a, b| f32::from(a >= b)),
            Binary::Less => each(values, right, |a, b| f32::from(a < b)),
            Binary::LessEqual => each(values, right, |a, b| f32::from(a <= b)),
        }
    }
}

fn limit(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The argument of tanh in [`Unary::GeluTanh`].
fn inner(x: f32, p: f32) -> f32 {
    let power = if p == 3.0 { x * x * x } else { x * x };
    (2.0 / PI).sqrt() * (x + 0.044715 * power)
}

/// A polynomial, the coefficient of the highest power first.
#[inline(always)]
fn series<const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let rest = coefficients[1..].iter();
    rest.fold(coefficients[0], |sum, coefficient| sum * x + coefficient)
}

/// eˣ, error below 2 units of the last place (1e-5 from 88 on); the polynomial is that of S. L. Moshier's Cephes
/// library, `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Added to a number below 2²², it leaves the nearest whole number, plus 127, in the lowest bits.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = LN_2 - LN_2_HIGH;
    let power = limit(x * LOG2_E, -126.0, 127.0) + ROUND;
    let whole = power - ROUND;
    let x_rest = limit(x, -200.0, 200.0) - whole * LN_2_HIGH - whole * LN_2_LOW;
    let coefficients = [
        1.987_569_2e-4,
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5.000_000_1e-1,
    ];
    let series = series(coefficients, x_rest);
    let rest = series * x_rest * x_rest + x_rest + 1.0;
    let value = rest * f32::from_bits(power.to_bits() << 23);
    let value = if x < -87.336_54 { 0.0 } else { value };
    if x > 88.722_84 { f32::INFINITY } else { value }
}

/// 1 / (1 + e⁻ˣ), error below 2e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Error below 4e-7: the rational function of the Eigen library, with limits where it reaches ±1.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let x = limit(x, -9.0, 9.0);
    let square = x * x;
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
    x * series(above, square) / series(below, square)
}

/// Abramowitz and Stegun 7.1.26, error below 3e-7 with the rounding.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let positive = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * positive);
    let coefficients = [
        1.061_405_4,
        -1.453_152,
        1.421_413_7,
        -0.284_496_74,
        0.254_829_6,
    ];
    (1.0 - series(coefficients, t) * t * exp(-x * x)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> impl Iterator<Item = f32> {
        (-40_000..=40_000).map(|n| n as f32 / 1000.0)
    }

    #[track_caller]
    fn near(f: impl Fn(f32) -> f32, of: impl Fn(f64) -> f64, absolute: f64, relative: f64) {
        for x in values() {
            let (actual, expected) = (f64::from(f(x)), of(f64::from(x)));
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
                let off = f64::from(erf(sign * x)) - f64::from(sign) * expected;
                assert!(off.abs() <= 3e-7, "at {x}: {off:e}");
            }
        }
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert!((exp(88.5) / 88.5f32.exp() - 1.0).abs() < 1e-4);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([tanh(1e30), tanh(-1e30)].map(f32::round), [1.0, -1.0]);
        assert_eq!([sigmoid(1e30), sigmoid(-1e30)], [1.0, 0.0]);
    }

    #[test]
    fn slopes_are_differences() {
        use Unary::*;
        let all = [
            Abs, Neg, Exp, Ln, Square, Sqrt, Rsqrt, Recip, Sin, Cos, Atan, Tanh, Sinh, Cosh, Erf,
            Sigmoid, Silu, HardSwish, Gelu, GeluTanh, LeakyRelu, Power,
        ];
        for function in all {
            for x in [0.3f32, 0.9, 2.1] {
                let step = 1.0 / 64.0;
                let mut ends = [x - step, x + step];
                function.apply(3.0, &mut ends);
                let mut slope = [x];
                function.slope(3.0, &mut slope);
                let difference = (ends[1] - ends[0]) / (2.0 * step);
                let off = (slope[0] - difference).abs();
                assert!(
                    off < 5e-3 * slope[0].abs().max(1.0),
                    "{function:?} at {x}: {off}"
                );
            }
        }
    }
}
