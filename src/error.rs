//! failure → stable code and a sentence that says what to do.

/// What can go wrong, from download to heatmap.
///
/// Every variant has a [stable code](Error::code); the text says what was found, what was expected
/// and, where it helps, the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No response from the server, or the connection broke.
    #[error("{0}")]
    Network(String),
    /// The server responded, but not with the file.
    #[error("{url} answered with status {status}; check the address")]
    HttpStatus {
        /// HTTP status code.
        status: u16,
        /// What was requested.
        url: String,
    },
    /// The bytes are not an ONNX model: a web page, a Git LFS pointer, JSON, …
    #[error("{0}")]
    NotAModel(String),
    /// Fewer bytes than there should be.
    #[error("{0}")]
    Truncated(String),
    /// The bytes are not those that the manifest describes.
    #[error("{0}")]
    Integrity(String),
    /// The ONNX file keeps its weights in another file.
    #[error("{0}")]
    ExternalData(String),
    /// The graph holds an operator that cannot be run or differentiated.
    #[error("{0}")]
    UnsupportedOperator(String),
    /// The graph is sound, but not an image classifier that can be used here.
    #[error("{0}")]
    UnsupportedModel(String),
    /// `model.json` is missing a field or holds a wrong value.
    #[error("{0}")]
    BadManifest(String),
    /// The model needs more memory than there can be.
    #[error("{0}")]
    OverMemoryLimit(String),
    /// The model needs more memory than it is allowed to use.
    #[error("{message}")]
    NeedsMemory {
        /// What it needs, what is available, and what to do.
        message: String,
        /// The limit in bytes at which it is expected to be accepted.
        limit: u64,
    },
    /// Memory could not be allocated.
    #[error("{0}")]
    OutOfMemory(String),
    /// The bytes are not a picture in a format that can be read.
    #[error("{0}")]
    ImageFormat(String),
    /// The picture is damaged.
    #[error("{0}")]
    ImageCorrupt(String),
    /// The picture is cut short.
    #[error("{message}")]
    ImageCut {
        /// What is there, and what to do.
        message: String,
        /// How many percent of its rows are there, where that can be told.
        percent: Option<u8>,
    },
    /// The picture has more pixels or bytes than allowed.
    #[error("{0}")]
    ImageTooLarge(String),
    /// An option has an invalid value.
    #[error("{0}")]
    BadOption(String),
    /// The model has no plan that this build can run; a build with the feature `compile` can run the model.
    /// Holds the text of its `model.json` if that was read already.
    #[error("the model has no plan for this page; run `whylens pack` on its folder")]
    Unplanned(Option<String>),
    /// The caller asked to stop.
    #[error("cancelled by the caller")]
    Cancelled,
    /// The classifier was disposed of before the call.
    #[error("this classifier was disposed of; load the model again")]
    Disposed,
    /// The worker died under the call.
    #[error("{0}")]
    WorkerCrashed(String),
}

/// [`std::result::Result`] with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The stable, documented code of this error, such as `not-a-model`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Network(_) => "network",
            Error::HttpStatus { .. } => "http-status",
            Error::NotAModel(_) => "not-a-model",
            Error::Truncated(_) => "truncated",
            Error::Integrity(_) => "integrity",
            Error::ExternalData(_) => "external-data",
            Error::UnsupportedOperator(_) => "unsupported-operator",
            Error::UnsupportedModel(_) => "unsupported-model",
            Error::BadManifest(_) => "bad-manifest",
            Error::OverMemoryLimit(_) | Error::NeedsMemory { .. } => "over-memory-limit",
            Error::OutOfMemory(_) => "out-of-memory",
            Error::ImageFormat(_) => "image-format",
            Error::ImageCorrupt(_) | Error::ImageCut { .. } => "image-corrupt",
            Error::ImageTooLarge(_) => "image-too-large",
            Error::BadOption(_) => "bad-option",
            Error::Unplanned(_) => "unplanned",
            Error::Cancelled => "cancelled",
            Error::Disposed => "disposed",
            Error::WorkerCrashed(_) => "worker-crashed",
        }
    }
}
