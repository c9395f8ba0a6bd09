//! Server reflection, `grpc.reflection.v1` and `v1alpha`, over the descriptors of the services. What cannot be
//! answered is an `ErrorResponse` in the stream, which goes on
//! (<https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>); tonic's own service ends the call.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _};
use http::{Request as HttpRequest, Uri};
use prost_reflect::{DescriptorError, DescriptorPool, FileDescriptor};
use tonic::{Request, Response, Status, Streaming, async_trait, body::Body, server::NamedService};
use tonic_reflection::pb::{
    v1::{
        self, ErrorResponse, ExtensionNumberResponse, ExtensionRequest, FileDescriptorResponse,
        ListServiceResponse, ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
        server_reflection_server::{ServerReflection, ServerReflectionServer},
    },
    v1alpha,
};
use tower::Service;

/// The one method of `v1`.
const V1_PATH: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// The same of `v1alpha`.
const V1ALPHA_PATH: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Answers from the descriptors of the services.
#[derive(Clone, Debug)]
pub(super) struct Reflection {
    pool: DescriptorPool,
}

/// Serves `v1alpha` with the service of `v1`: the encoding of the messages is the same.
#[derive(Clone, Debug)]
pub(super) struct V1Alpha<S>(pub(super) S);

/// The reflection service over these descriptors and its own.
pub(super) fn service(
    mut pool: DescriptorPool,
) -> Result<ServerReflectionServer<Reflection>, DescriptorError> {
    pool.decode_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)?;
    pool.decode_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)?;
    Ok(ServerReflectionServer::new(Reflection { pool }))
}

#[async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let this = self.clone();
        let answers = requests.into_inner().map(move |request| Ok(this.respond(request?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

// === impl Reflection ===

impl Reflection {
    fn respond(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = self.answer(request.message_request.as_ref()).unwrap_or_else(|error| {
            let (error_code, error_message) = (error.code().into(), error.message().to_owned());
            MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }

    fn answer(&self, request: Option<&MessageRequest>) -> Result<MessageResponse, Status> {
        let file = |found: Option<FileDescriptor>, what: &str| {
            let file = found.ok_or_else(|| unknown(what))?;
            let file_descriptor_proto = vec![file.encode_to_vec()];
            Ok(MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
        };
        match request {
            None => Err(Status::invalid_argument(
                "the request asks for nothing: set one of the fields of message_request",
            )),
            Some(MessageRequest::FileByFilename(name)) => {
                file(self.pool.get_file_by_name(name), &format!("file {name}"))
            }
            Some(MessageRequest::FileContainingSymbol(symbol)) => {
                file(self.file_of_symbol(symbol), &format!("symbol {symbol}"))
            }
            Some(MessageRequest::FileContainingExtension(extension)) => {
                let ExtensionRequest { containing_type, extension_number } = extension;
                let message = self.pool.get_message_by_name(containing_type);
                let number = u32::try_from(*extension_number).ok();
                let found = message.zip(number).and_then(|(message, number)| message.get_extension(number));
                let what = format!("extension {extension_number} of {containing_type}");
                file(found.map(|extension| extension.parent_file()), &what)
            }
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                let message = self.pool.get_message_by_name(name);
                let message = message.ok_or_else(|| unknown(&format!("message {name}")))?;
                let numbers = message.extensions().filter_map(|it| i32::try_from(it.number()).ok());
                Ok(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                    base_type_name: name.clone(),
                    extension_number: numbers.collect(),
                }))
            }
            Some(MessageRequest::ListServices(_)) => {
                let names =
                    self.pool.services().map(|it| ServiceResponse { name: it.full_name().to_owned() });
                Ok(MessageResponse::ListServicesResponse(ListServiceResponse { service: names.collect() }))
            }
        }
    }

    /// The file that defines a service, method, message, field, enum, enum value or extension.
    fn file_of_symbol(&self, symbol: &str) -> Option<FileDescriptor> {
        let pool = &self.pool;
        let defined = (pool.get_service_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| pool.get_message_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| pool.get_enum_by_name(symbol).map(|it| it.parent_file()))
            .or_else(|| pool.get_extension_by_name(symbol).map(|it| it.parent_file()));
        defined.or_else(|| {
            let (parent, name) = symbol.rsplit_once('.')?;
            let method = |service: prost_reflect::ServiceDescriptor| {
                service.methods().any(|method| method.name() == name).then(|| service.parent_file())
            };
            let field = |message: prost_reflect::MessageDescriptor| {
                message.get_field_by_name(name).map(|_field| message.parent_file())
            };
            // The values of an enum are in the scope of its parent.
            let value = |one: prost_reflect::EnumDescriptor| {
                let is_beside = one.full_name().rsplit_once('.').is_some_and(|(scope, _)| scope == parent);
                (is_beside && one.get_value_by_name(name).is_some()).then(|| one.parent_file())
            };
            (pool.get_service_by_name(parent).and_then(method))
                .or_else(|| pool.get_message_by_name(parent).and_then(field))
                .or_else(|| pool.all_enums().find_map(value))
        })
    }
}

fn unknown(what: &str) -> Status {
    Status::not_found(format!("this server has no {what}: list its services first"))
}

// === impl V1Alpha ===

impl<S> NamedService for V1Alpha<S> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<S: Service<HttpRequest<Body>>> Service<HttpRequest<Body>> for V1Alpha<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: HttpRequest<Body>) -> S::Future {
        if request.uri().path() == V1ALPHA_PATH {
            *request.uri_mut() = Uri::from_static(V1_PATH);
        }
        self.0.call(request)
    }
}
