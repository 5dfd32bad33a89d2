//! The surface of the crate `rustfft` that tract uses, with nothing behind it.

pub use {num_complex, num_traits};

pub trait FftNum: Copy {}

impl<T: Copy> FftNum for T {}

pub enum FftDirection {
    Forward,
    Inverse,
}

pub struct FftPlanner<T>(std::marker::PhantomData<T>);

impl<T> FftPlanner<T> {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }

    pub fn plan_fft(&mut self, _length: usize, _direction: FftDirection) -> Absent<T> {
        Absent(std::marker::PhantomData)
    }

    pub fn plan_fft_forward(&mut self, _length: usize) -> Absent<T> {
        Absent(std::marker::PhantomData)
    }
}

pub struct Absent<T>(std::marker::PhantomData<T>);

impl<T> Absent<T> {
    pub fn process(&self, _buffer: &mut [num_complex::Complex<T>]) {
        unreachable!("graphs with DFT or STFT are refused before")
    }
}
