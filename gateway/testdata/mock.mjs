// Another OIDC provider for tests: npm's oauth2-mock-server, which signs in everybody as
// "carol" until told below /test/ that her account is disabled.
//
//   node mock.mjs PORT
import http from 'node:http';
import { OAuth2Service, OAuth2Issuer } from 'oauth2-mock-server';

const port = process.argv[2];
const issuer = new OAuth2Issuer();
issuer.url = `http://127.0.0.1:${port}`;
await issuer.keys.generate('RS256');
const service = new OAuth2Service(issuer);
let disabled = false;

service.on('beforeTokenSigning', (token) => {
  Object.assign(token.payload, { sub: 'carol', email: 'carol@example.org', email_verified: true, auth_time: Math.floor(Date.now() / 1000) });
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

http.createServer((req, res) => {
  if (req.url.startsWith('/test/disable')) {
    disabled = true;
    res.statusCode = 204;
    res.end();
    return;
  }
  service.requestHandler(req, res);
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
