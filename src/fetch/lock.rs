//! name → a lock that all pages of the site share.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::{Either, select};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortController;

#[wasm_bindgen]
extern "C" {
    /// `navigator.locks`; web-sys has it as unstable only.
    type LockManager;
    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &Object,
        granted: &JsValue,
    ) -> Result<Promise, JsValue>;
}

/// Held until it is dropped; waiting ends when the future is dropped.
pub struct Lock {
    release: Rc<RefCell<Option<Function>>>,
    waiting: Option<AbortController>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            let _ = release.call0(&JsValue::UNDEFINED);
        } else if let Some(waiting) = &self.waiting {
            waiting.abort();
        }
    }
}

/// Waits for the lock; none where the browser has no locks or refuses them.
pub async fn acquire(name: &str) -> Option<Lock> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    let manager = Reflect::get(&navigator, &"locks".into()).ok()?;
    if !manager.is_object() {
        return None;
    }
    let waiting = AbortController::new().ok()?;
    let options = Object::new();
    Reflect::set(&options, &"signal".into(), &waiting.signal()).ok()?;
    let lock = Lock {
        release: Rc::default(),
        waiting: Some(waiting),
    };

    let mut granted = None;
    let wait = Promise::new(&mut |resolve, _| granted = Some(resolve));
    let (granted, release) = (granted?, lock.release.clone());
    let callback = Closure::once_into_js(move |_: JsValue| -> Promise {
        Promise::new(&mut |resolve, _| {
            *release.borrow_mut() = Some(resolve);
            let _ = granted.call0(&JsValue::UNDEFINED);
        })
    });
    let manager: LockManager = manager.unchecked_into();
    let held = manager.request(name, &options, &callback).ok()?;
    match select(JsFuture::from(wait), JsFuture::from(held)).await {
        Either::Left(_) => Some(lock),
        Either::Right(_) => None,
    }
}
