//! The server of the official Rust SDK with the same tools, over hyper: without sessions it answers in JSON, with them by
//! events.

use std::{collections::HashMap, sync::Arc};

use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use reqwest::header::AUTHORIZATION;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult, PaginatedRequestParams,
        ServerCapabilities, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;

use super::{bare::read_lists, process::announce};

#[derive(Clone)]
struct Official {
    tools: Arc<Vec<Tool>>,
    http: reqwest::Client,
    upstream: Arc<str>,
}

impl ServerHandler for Official {
    fn get_info(&self) -> rmcp::model::ServerConfig {
        rmcp::model::ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.as_ref().clone()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let failed = |error: reqwest::Error| ErrorData::internal_error(error.to_string(), None);
        let (app, action) = call.name.split_once('_').unwrap_or_default();
        let url = format!(
            "http://{}/action-instance/run?autoCreate=true&integrationKey={app}&parentKey={action}",
            self.upstream
        );
        let mut request = self.http.post(url).json(&call.arguments);
        if let Some(parts) = context.extensions.get::<hyper::http::request::Parts>()
            && let Some(token) = parts.headers.get(AUTHORIZATION)
        {
            request = request.header(AUTHORIZATION, token);
        }
        let text = request.send().await.map_err(failed)?.text().await.map_err(failed)?;
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

#[derive(Deserialize)]
struct List {
    tools: Vec<Tool>,
}

/// Serves until the parent ends. The arguments: the folder of the lists, the upstream, and whether there are sessions.
pub fn run(arguments: &[String]) {
    let [folder, upstream, sessions] = arguments else { panic!("the arguments of the SDK's server") };
    integration_app_mcp_server::server::install_tls();
    let http = reqwest::Client::builder().tcp_nodelay(true).build().expect("a client");
    let service = |bytes: &[u8]| {
        let list: List = serde_json::from_slice(bytes).expect("a list of tools");
        let official =
            Official { tools: Arc::new(list.tools), http: http.clone(), upstream: Arc::from(upstream.as_str()) };
        let mut config = StreamableHttpServerConfig::default();
        config.legacy_session_mode = sessions == "sessions";
        config.json_response = sessions != "sessions";
        let manager = Arc::new(LocalSessionManager::default());
        StreamableHttpService::new(move || Ok(official.clone()), manager, config)
    };
    let services: HashMap<String, _> =
        read_lists(folder).iter().map(|(tools, list)| (format!("/{tools}"), service(list))).collect();
    let services = Arc::new(services);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        announce(listener.local_addr().expect("an address"));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let services = Arc::clone(&services);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let service = services.get(request.uri().path()).cloned().expect("a list of that size");
                    hyper::service::Service::call(&TowerToHyperService::new(service), request)
                });
                // A client that has gone is nothing to tell.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}
