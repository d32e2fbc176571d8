//! Entra ID credentials, from `azure_identity`.

use crate::options::OptionError;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Who the client is to Entra ID.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The identity of the virtual machine, container or app that this runs in; with a client id, one that was
    /// assigned by the user.
    Managed {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// An application with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
    /// Whoever is logged in to the Azure CLI: for development.
    Cli {
        /// The tenant, if not the CLI's default.
        tenant_id: Option<String>,
    },
}

impl Identity {
    /// The credential. `client` says how HTTP is spoken: for tests and sovereign clouds.
    ///
    /// # Errors
    /// When the library refuses a value (an empty id, a malformed tenant).
    pub(crate) fn credential(&self, client: ClientOptions) -> Result<Arc<dyn TokenCredential>, OptionError> {
        let refused = |error: azure_core::Error| OptionError::new("auth", format!("Entra ID: {error}"));
        Ok(match self {
            Self::Managed { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    client_options: client,
                };
                ManagedIdentityCredential::new(Some(options)).map_err(refused)?
            }
            Self::ClientSecret { tenant_id, client_id, client_secret } => {
                let secret = Secret::new(client_secret.expose_secret().to_owned());
                let options = ClientSecretCredentialOptions { client_options: client };
                ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options)).map_err(refused)?
            }
            Self::Cli { tenant_id } => {
                let options = AzureCliCredentialOptions { tenant_id: tenant_id.clone(), ..Default::default() };
                AzureCliCredential::new(Some(options)).map_err(refused)?
            }
        })
    }
}
