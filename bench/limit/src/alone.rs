//! hyper with nothing around it: one thread, one task for each connection, no deadlines.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime, time};

use crate::answers::Answers;

/// Serves at `bind`, which is tcp://HOST:PORT, until the process is ended.
pub(crate) fn serve(bind: &str, answers: Arc<Answers>) -> Result<(), String> {
    let address = bind.strip_prefix("tcp://").ok_or_else(|| format!("hyper alone has no such address: {bind}"))?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
        println!("limit: ready on {bind}");
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| format!("{address}: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let answers = answers.clone();
            let service = service_fn(move |request| answer(request, answers.clone()));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) }); // a client that goes is no failure
        }
    })
}

/// Receives the body whole, as a server has to before it calls a Rack app; then what was prepared.
async fn answer(request: Request<Incoming>, answers: Arc<Answers>) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = answers.at(request.uri().path());
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    if let Some(sleep) = answer.sleep {
        time::sleep(sleep).await;
    }
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
