//! Functions of one number and of two, value by value. All are free of branches: the compiler makes vectors of the loops
//! over plain ones, and the others are computed in vectors by `series.rs`.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::super::kernel::{Task, Vector, widest};
use super::series::{erf, exp, limit, sigmoid, tanh};

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

/// As `each`, in vectors: a function of `V`, which a closure could not be, and of the parameter.
macro_rules! vectors {
    ($p:expr, $values:expr, |$x:ident| $body:expr) => {
        vectors!($p, $values, |$x, _p| $body)
    };
    ($p:expr, $values:expr, |$x:ident, $q:ident| $body:expr) => {{
        #[derive(Clone, Copy)]
        struct Of(f32);
        impl Function for Of {
            #[inline(always)]
            fn at<V: Vector>(self, $x: V) -> V {
                let Of($q) = self;
                $body
            }
        }
        widest(Each(Of($p), $values))
    }};
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
        match self {
            Unary::Abs => each(values, f32::abs),
            Unary::Neg => each(values, |x| -x),
            Unary::Exp => vectors!(p, values, |x| exp(x)),
            Unary::Ln => each(values, f32::ln),
            Unary::Square => each(values, |x| x * x),
            Unary::Sqrt => each(values, f32::sqrt),
            Unary::Rsqrt => each(values, |x| 1.0 / x.sqrt()),
            Unary::Recip => each(values, |x| 1.0 / x),
            Unary::Sin => each(values, f32::sin),
            Unary::Cos => each(values, f32::cos),
            Unary::Atan => each(values, f32::atan),
            Unary::Tanh => vectors!(p, values, |x| tanh(x)),
            Unary::Sinh => each(values, f32::sinh),
            Unary::Cosh => each(values, f32::cosh),
            Unary::Erf => vectors!(p, values, |x| erf(x)),
            Unary::Sigmoid => vectors!(p, values, |x| sigmoid(x)),
            Unary::Silu => vectors!(p, values, |x| x.mul(sigmoid(x))),
            Unary::HardSwish => vectors!(p, values, |x| {
                let gate = V::splat(0.5).add_product(x, V::splat(1.0 / 6.0));
                x.mul(limit(gate, 0.0, 1.0))
            }),
            Unary::Gelu => vectors!(p, values, |x| {
                let half = x.mul(V::splat(0.5));
                half.add_product(half, erf(x.mul(V::splat(FRAC_1_SQRT_2))))
            }),
            Unary::GeluTanh => vectors!(p, values, |x, q| {
                let half = x.mul(V::splat(0.5));
                half.add_product(half, tanh(inner(x, q)))
            }),
            Unary::LeakyRelu => each(values, |x| if x < 0.0 { p * x } else { x }),
            Unary::Power => each(values, |x| x.powf(p)),
            Unary::Round => each(values, f32::round_ties_even),
            Unary::Floor => each(values, f32::floor),
            Unary::Ceil => each(values, f32::ceil),
        }
    }

    /// The derivative at each value, in place.
    pub fn slope(self, p: f32, values: &mut [f32]) {
        match self {
            Unary::Abs => each(values, |x| f32::from(x > 0.0) - f32::from(x < 0.0)),
            Unary::Neg => each(values, |_| -1.0),
            Unary::Exp => vectors!(p, values, |x| exp(x)),
            Unary::Ln => each(values, |x| 1.0 / x),
            Unary::Square => each(values, |x| 2.0 * x),
            Unary::Sqrt => each(values, |x| 0.5 / x.sqrt()),
            Unary::Rsqrt => each(values, |x| -0.5 / (x * x.sqrt())),
            Unary::Recip => each(values, |x| -1.0 / (x * x)),
            Unary::Sin => each(values, f32::cos),
            Unary::Cos => each(values, |x| -x.sin()),
            Unary::Atan => each(values, |x| 1.0 / (1.0 + x * x)),
            Unary::Tanh => vectors!(p, values, |x| {
                let tanh = tanh(x);
                V::splat(1.0).sub(tanh.mul(tanh))
            }),
            Unary::Sinh => each(values, f32::cosh),
            Unary::Cosh => each(values, f32::sinh),
            Unary::Erf => vectors!(p, values, |x| {
                let bell = exp(V::splat(0.0).sub(x.mul(x)));
                bell.mul(V::splat(FRAC_2_SQRT_PI))
            }),
            Unary::Sigmoid => vectors!(p, values, |x| {
                let gate = sigmoid(x);
                gate.mul(V::splat(1.0).sub(gate))
            }),
            Unary::Silu => vectors!(p, values, |x| {
                let gate = sigmoid(x);
                gate.mul(V::splat(1.0).add_product(x, V::splat(1.0).sub(gate)))
            }),
            Unary::HardSwish => each(values, |x| match x {
                x if x <= -3.0 => 0.0,
                x if x >= 3.0 => 1.0,
                x => x / 3.0 + 0.5,
            }),
            Unary::Gelu => vectors!(p, values, |x| {
                let half = V::splat(0.5);
                let bell = exp(x.mul(x).mul(V::splat(-0.5))).mul(V::splat(1.0 / (2.0 * PI).sqrt()));
                let share = half.add_product(half, erf(x.mul(V::splat(FRAC_1_SQRT_2))));
                share.add_product(x, bell)
            }),
            Unary::GeluTanh => vectors!(p, values, |x, q| {
                let power = if q == 3.0 { x.mul(x) } else { x };
                let slope = V::splat(1.0).add_product(V::splat(0.044715 * q), power);
                let slope = slope.mul(V::splat((2.0 / PI).sqrt()));
                let tanh = tanh(inner(x, q));
                let half = V::splat(0.5);
                let share = half.add_product(half, tanh);
                share.add_product(half.mul(x).mul(slope), V::splat(1.0).sub(tanh.mul(tanh)))
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

fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    values.iter_mut().for_each(|value| *value = f(*value));
}

/// A function of vectors of any width.
trait Function: Copy {
    fn at<V: Vector>(self, x: V) -> V;
}

/// A function at each of these values, in place.
struct Each<'a, F>(F, &'a mut [f32]);

impl<F: Function> Task for Each<'_, F> {
    type Made = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Each(function, values) = self;
        let mut chunks = values.chunks_exact_mut(V::LANES);
        for chunk in &mut chunks {
            function.at(V::read(chunk)).write(chunk);
        }
        let rest = chunks.into_remainder();
        if !rest.is_empty() {
            let mut lanes = [0.0; 8];
            lanes[..rest.len()].copy_from_slice(rest);
            function.at(V::read(&lanes)).write(&mut lanes);
            rest.copy_from_slice(&lanes[..rest.len()]);
        }
    }
}

/// The argument of tanh in [`Unary::GeluTanh`].
#[inline(always)]
fn inner<V: Vector>(x: V, p: f32) -> V {
    let square = x.mul(x);
    let power = if p == 3.0 { square.mul(x) } else { square };
    x.add_product(V::splat(0.044715), power)
        .mul(V::splat((2.0 / PI).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
