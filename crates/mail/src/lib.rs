//! The nouns of mail, pure: address, path, envelope, status, outcome, content, header and trace fields, and what people
//! are shown of the queue and the directory. Knows the RFCs; knows no socket, no database, no clock and no agent.

pub mod address;
pub mod content;
pub mod credentials;
pub mod directory;
pub mod envelope;
pub mod header;
pub mod id;
pub mod idempotency;
pub mod mime;
pub mod outcome;
pub mod path;
pub mod quota;
pub mod received;
pub mod rights;
pub mod status;
pub mod summary;
pub mod timeline;
pub mod timestamp;
pub mod trace;
pub mod unitext;

pub use address::{AddressError, Domain, Host, LocalPart, Mailbox};
pub use content::Content;
pub use credentials::{Credentials, ScramChallenge, ScramProof, ServerSignature};
pub use directory::{Account, AccountView, Alias, Resolution};
pub use envelope::{
    BodyType, DeliverBy, DeliverByMode, Envelope, Hold, Notify, Origin, OriginalRecipient, Priority,
    Recipient, Ret,
};
pub use id::QueueId;
pub use idempotency::{IdempotencyKey, IdempotencyKeyError};
pub use outcome::{Action, Outcome};
pub use path::{ForwardPath, ReversePath};
pub use quota::{Limit, Quota};
pub use rights::SenderPattern;
pub use status::{EnhancedStatus, Status};
pub use summary::{DomainSummary, Summary};
pub use timestamp::Timestamp;
pub use trace::TraceContext;
