//! Limits, with their units and sources ("IAM and AWS STS quotas" unless said otherwise).

/// Longest user name, in characters.
pub const USER_NAME_MAX: usize = 64;
/// Longest role name, in characters.
pub const ROLE_NAME_MAX: usize = 64;
/// Longest group name, in characters.
pub const GROUP_NAME_MAX: usize = 128;
/// Longest policy name, in characters.
pub const POLICY_NAME_MAX: usize = 128;
/// Longest path, in characters.
pub const PATH_MAX: usize = 512;
/// Longest description, in characters.
pub const DESCRIPTION_MAX: usize = 1000;
/// Longest document as it is sent, in characters (API Reference, `policyDocumentType`).
pub const DOCUMENT_SENT_MAX: usize = 131_072;
/// Longest document as it is stored, in bytes (ours: a row holds 64 KiB).
pub const DOCUMENT_STORED_MAX_BYTES: usize = 48 << 10;
/// Managed policy without white space, in characters.
pub const MANAGED_POLICY_MAX: usize = 6144;
/// All inline policies of a user without white space, in characters.
pub const USER_INLINE_MAX: usize = 2048;
/// All inline policies of a group without white space, in characters.
pub const GROUP_INLINE_MAX: usize = 5120;
/// All inline policies of a role without white space, in characters.
pub const ROLE_INLINE_MAX: usize = 10_240;
/// Trust policy without white space, in characters.
pub const TRUST_POLICY_MAX: usize = 2048;
/// Session policy, in characters (STS API Reference, `Policy`).
pub const SESSION_POLICY_MAX: usize = 2048;
/// What a session token carries of policies and tags, in bytes (ours: it travels in a header).
pub const PACKED_MAX_BYTES: usize = 6144;
/// Managed policies of a session.
pub const SESSION_POLICY_ARNS_MAX: usize = 10;
/// Access keys of a user.
pub const ACCESS_KEYS_PER_USER: usize = 2;
/// Managed policies attached to a user, group or role.
pub const ATTACHMENTS_MAX: usize = 10;
/// Groups of a user.
pub const GROUPS_PER_USER: usize = 10;
/// Versions of a managed policy.
pub const POLICY_VERSIONS_MAX: usize = 5;
/// OpenID Connect providers of an account.
pub const OIDC_PROVIDERS_MAX: usize = 100;
/// Client ids of an OpenID Connect provider.
pub const OIDC_CLIENT_IDS_MAX: usize = 100;
/// Thumbprints of an OpenID Connect provider.
pub const OIDC_THUMBPRINTS_MAX: usize = 5;
/// Tags of one resource.
pub const TAGS_MAX: usize = 50;
/// Longest tag key, in characters.
pub const TAG_KEY_MAX: usize = 128;
/// Longest tag value, in characters.
pub const TAG_VALUE_MAX: usize = 256;
/// Users of an account.
pub const USERS_MAX: usize = 5000;
/// Groups of an account.
pub const GROUPS_MAX: usize = 300;
/// Roles of an account.
pub const ROLES_MAX: usize = 1000;
/// Managed policies of an account.
pub const POLICIES_MAX: usize = 1500;
/// Entries of a page: default and most (API Reference, `MaxItems`).
pub const PAGE: (u32, u32) = (100, 1000);
/// How long a role's sessions may last, in seconds: least and most.
pub const ROLE_SESSION_SECONDS: (u32, u32) = (3600, 43_200);
/// Shortest session, in seconds (STS API Reference).
pub const SESSION_SECONDS_MIN: u32 = 900;
/// Longest session of GetSessionToken and GetFederationToken, in seconds; of root users an hour.
pub const TOKEN_SECONDS_MAX: u32 = 129_600;
/// Their default, in seconds.
pub const TOKEN_SECONDS_DEFAULT: u32 = 43_200;
/// Longest session of root users, and of roles assumed by roles, in seconds.
pub const CHAINED_SECONDS_MAX: u32 = 3600;
