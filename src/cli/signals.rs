//! Ctrl-C or another request to end → the exit code.

/// Resolves at the first signal from now on. As in a shell, the exit code is 128 plus its number.
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
            // Without a handler, the system ends the process.
            Err(_) => std::future::pending().await,
        }
    }
}
