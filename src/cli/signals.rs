//! Ctrl-C, or what ends a process kindly → its exit code.

/// Ends at the first of them from now on. A shell counts from 128 what was ended by a signal.
pub fn end() -> impl Future<Output = i32> {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        )
    };
    async move {
        #[cfg(unix)]
        if let (Ok(mut interrupt), Ok(mut terminate)) = signals {
            return tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            };
        }
        match tokio::signal::ctrl_c().await {
            Ok(()) => 130,
            // It cannot be waited for, so that the system ends the process.
            Err(_) => std::future::pending().await,
        }
    }
}
