//! milliseconds → future.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// Waits; the timer is cleared when the future is dropped.
pub fn sleep(milliseconds: f64) -> Sleep {
    let timer = RefCell::new(JsValue::UNDEFINED);
    let promise = Promise::new(&mut |resolve, _| {
        *timer.borrow_mut() = set_timeout(&resolve, milliseconds);
    });
    Sleep {
        timer: timer.into_inner(),
        promise: JsFuture::from(promise),
    }
}

/// See [`sleep`].
pub struct Sleep {
    timer: JsValue,
    promise: JsFuture,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.promise).poll(context).map(|_| ())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        clear_timeout(&self.timer);
    }
}
