//! The surface of the crate `inventory` that tract uses, without what nobody here looks up by its name.

use std::sync::Mutex;

#[doc(hidden)]
pub use ctor;

pub type Registry<T> = Mutex<Vec<&'static T>>;

/// Implemented by [`collect`].
pub trait Collect: Sync + Sized + 'static {
    #[doc(hidden)]
    fn registry() -> &'static Registry<Self>;
}

#[macro_export]
macro_rules! collect {
    ($value:ty) => {
        impl $crate::Collect for $value {
            fn registry() -> &'static $crate::Registry<Self> {
                static REGISTRY: $crate::Registry<$value> = $crate::Registry::new(Vec::new());
                &REGISTRY
            }
        }
    };
}

/// Registers a value before `main`, unless it is one of tract's transforms or runtimes.
#[macro_export]
macro_rules! submit {
    (ModelTransformFactory $($value:tt)*) => {};
    ($root:tt::transform::ModelTransformFactory $($value:tt)*) => {};
    ($root:tt::runtime::InventorizedRuntime $($value:tt)*) => {};
    ($($value:tt)*) => {
        const _: () = {
            $crate::ctor::declarative::ctor! {
                #[ctor(unsafe)]
                fn enter() {
                    $crate::enter(const { &{ $($value)* } });
                }
            }
        };
    };
}

#[doc(hidden)]
pub fn enter<T: Collect>(value: &'static T) {
    T::registry().lock().expect("nobody panics here").push(value);
}

/// All values of a type: `iter::<T>`, or `iter::<T>()`.
#[allow(non_camel_case_types)]
pub enum iter<T: Collect> {
    iter,
    #[doc(hidden)]
    Never(std::convert::Infallible, std::marker::PhantomData<T>),
}

#[doc(hidden)]
pub use iter::*;

type All<T> = std::vec::IntoIter<&'static T>;

fn all<T: Collect>() -> All<T> {
    T::registry().lock().expect("nobody panics here").clone().into_iter()
}

impl<T: Collect> IntoIterator for iter<T> {
    type Item = &'static T;
    type IntoIter = All<T>;
    fn into_iter(self) -> All<T> {
        all()
    }
}

impl<T: Collect> std::ops::Deref for iter<T> {
    type Target = fn() -> All<T>;
    fn deref(&self) -> &Self::Target {
        &(all as fn() -> All<T>)
    }
}
