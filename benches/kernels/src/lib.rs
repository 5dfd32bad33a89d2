//! The kernels alone, for benches/kernels.mjs: each case is set up once, then run any number
//! of times over the same buffers.

#[allow(dead_code, unused_imports, reason = "only the kernels that are measured are used")]
#[path = "../../../src/model/run/kernel/mod.rs"]
mod kernel;

use kernel::{Activation, Depthwise, Gemm, Output, Patches, Window, Winograd};

/// A case that is ready to run.
pub struct Case {
    run: Box<dyn FnMut()>,
    operations: f64,
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect()
}

fn case(operations: usize, run: impl FnMut() + 'static) -> *mut Case {
    Box::into_raw(Box::new(Case {
        run: Box::new(run),
        operations: operations as f64,
    }))
}

fn product(image: Vec<f32>, patches: Patches, outputs: usize) -> *mut Case {
    let inputs = patches.runs.len() * patches.length;
    let pixels = patches.output[0] * patches.output[1];
    let gemm = Gemm::new(inputs, &values(outputs), |o, row| {
        for (i, weight) in row.iter_mut().enumerate() {
            *weight = ((o + i) % 7) as f32 / 7.0 - 0.4;
        }
    });
    let mut values = vec![0.0; pixels * outputs];
    case(2 * pixels * inputs * outputs, move || {
        gemm.run(
            &image,
            &patches,
            Output {
                values: &mut values,
                stride: outputs,
                first: 0,
                residual: None,
                activation: Activation::Clamp(0.0, 6.0),
            },
        );
    })
}

/// A pointwise convolution.
#[unsafe(no_mangle)]
pub extern "C" fn pointwise(pixels: usize, inputs: usize, outputs: usize) -> *mut Case {
    let patches = Patches::pixels(pixels, inputs);
    product(values(pixels * inputs), patches, outputs)
}

/// A 3×3 convolution with a border of one pixel.
#[unsafe(no_mangle)]
pub extern "C" fn dense(side: usize, inputs: usize, outputs: usize) -> *mut Case {
    let patches = Patches {
        output: [side, side],
        row: (side + 2) * inputs,
        column: inputs,
        runs: (0..3).map(|y| y * (side + 2) * inputs).collect(),
        length: 3 * inputs,
    };
    product(values((side + 2) * (side + 2) * inputs), patches, outputs)
}

/// The same by fewer multiplications; operations are those of the plain sum.
#[unsafe(no_mangle)]
pub extern "C" fn winograd(side: usize, inputs: usize, outputs: usize) -> *mut Case {
    let window = Window {
        input: [side; 2],
        output: [side; 2],
        kernel: [3; 2],
        stride: [1; 2],
        dilation: [1; 2],
        before: [1; 2],
    };
    let convolution = Winograd::new(window, inputs, &values(outputs), |o, row| {
        for (i, weight) in row.iter_mut().enumerate() {
            *weight = ((o + i) % 7) as f32 / 7.0 - 0.4;
        }
    });
    let image = values(side * side * inputs);
    let mut values = vec![0.0; side * side * outputs];
    case(2 * side * side * 9 * inputs * outputs, move || {
        convolution.run(
            &image,
            Output {
                values: &mut values,
                stride: outputs,
                first: 0,
                residual: None,
                activation: Activation::Clamp(0.0, 6.0),
            },
        );
    })
}

/// A depthwise convolution with a border.
#[unsafe(no_mangle)]
pub extern "C" fn depthwise(
    side: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
) -> *mut Case {
    let filter = Depthwise::new(kernel * kernel, &values(channels), |c, t| {
        ((c + t) % 7) as f32 / 7.0 - 0.4
    });
    let image = values(side * side * channels);
    let to = side / stride;
    let mut output = vec![0.0; to * to * channels];
    let window = Window {
        input: [side; 2],
        output: [to; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        before: [kernel / 2; 2],
    };
    case(2 * to * to * kernel * kernel * channels, move || {
        filter.run(&image, &window, &mut output, Activation::Clamp(0.0, 6.0));
    })
}

/// Floating-point operations of one run.
///
/// # Safety
/// `case` is a case that was not dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn operations(case: *const Case) -> f64 {
    unsafe { &*case }.operations
}

/// # Safety
/// `case` is a case that was not dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn run(case: *mut Case, times: usize) {
    for _ in 0..times {
        (unsafe { &mut *case }.run)();
    }
}

/// # Safety
/// `case` is a case that was not dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn forget(case: *mut Case) {
    drop(unsafe { Box::from_raw(case) });
}
