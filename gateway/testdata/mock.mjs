// Another OIDC provider for tests: npm's oauth2-mock-server, which signs in everybody as
// "carol". It takes orders below /test/:
//
//   disable                     refuses refresh tokens
//   spoil?claim=NAME&value=JSON puts a claim of the ID token (or, as "state", the state that
//                               it sends back) in place of the right one, until "spoil"
//   rotate                      signs with a new key, and publishes that only
//   forge                       signs with a key that it does not publish, until "rotate"
//
//   node mock.mjs PORT
import http from 'node:http';
import { OAuth2Service, OAuth2Issuer } from 'oauth2-mock-server';

const port = process.argv[2];
let disabled = false;
let spoilt = {};

async function make() {
  const issuer = new OAuth2Issuer();
  issuer.url = `http://127.0.0.1:${port}`;
  await issuer.keys.generate('RS256');
  const service = new OAuth2Service(issuer);
  service.on('beforeTokenSigning', (token) => {
    Object.assign(token.payload, { sub: 'carol', email: 'carol@example.org', email_verified: true, auth_time: Math.floor(Date.now() / 1000) }, spoilt);
  });
  service.on('beforeAuthorizeRedirect', ({ url }) => {
    if ('state' in spoilt) url.searchParams.set('state', spoilt.state);
  });
  service.on('beforeResponse', (response, req) => {
    if (disabled && req.body.grant_type === 'refresh_token') {
      response.statusCode = 400;
      response.body = { error: 'invalid_grant' };
    }
  });
  service.on('beforeUserinfo', (response) => {
    response.body = { sub: 'carol', email: 'carol@example.org', email_verified: true };
  });
  return service;
}

let published = await make();
let signs = published;

async function order(url) {
  switch (url.pathname) {
    case '/test/disable': disabled = true; break;
    case '/test/spoil':
      spoilt = url.searchParams.has('claim') ? { [url.searchParams.get('claim')]: JSON.parse(url.searchParams.get('value')) } : {};
      break;
    case '/test/rotate': published = signs = await make(); break;
    case '/test/forge': signs = await make(); break;
    default: return false;
  }
  return true;
}

http.createServer(async (req, res) => {
  const url = new URL(req.url, `http://127.0.0.1:${port}`);
  if (url.pathname.startsWith('/test/')) {
    res.statusCode = await order(url) ? 204 : 404;
    res.end();
    return;
  }
  (url.pathname === '/jwks' ? published : signs).requestHandler(req, res);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
