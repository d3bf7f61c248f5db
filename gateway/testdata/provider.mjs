// An OIDC provider for tests: npm's oidc-provider, that signs in whoever login_hint
// names, without asking, and takes orders below /test/.
//
//   node provider.mjs PORT SHOEBOX_URL
import http from 'node:http';
import Provider from 'oidc-provider';

const [port, shoebox] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const disabled = new Set();
const emails = new Map();

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'shoebox', client_secret: 'canary-client-secret',
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    redirect_uris: [`${shoebox}/login/oidc/callback`],
    post_logout_redirect_uris: [`${shoebox}/`],
    backchannel_logout_uri: `${shoebox}/login/oidc/backchannel`, backchannel_logout_session_required: true,
  }],
  scopes: ['openid', 'profile', 'email', 'offline_access'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true, logoutSource(ctx, form) { ctx.body = form; } },
  },
  cookies: { keys: ['a key for tests'] },
  pkce: { required: () => true },
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }), // Shoebox is on this machine
  findAccount(ctx, sub) {
    if (disabled.has(sub)) return undefined;
    return {
      accountId: sub,
      claims: () => ({ sub, email: emails.get(sub) ?? `${sub}@example.org`, email_verified: true, name: `Person ${sub}`, preferred_username: sub }),
    };
  },
});

async function interaction(req, res) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  let result;
  if (prompt.name === 'login') {
    result = { login: { accountId: params.login_hint ?? session?.accountId ?? 'nobody' } };
  } else {
    const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: prompt.name !== 'login' });
}

async function order(url) {
  const sub = url.searchParams.get('sub');
  switch (url.pathname) {
    case '/test/disable': disabled.add(sub); break;
    case '/test/enable': disabled.delete(sub); break;
    case '/test/email': emails.set(sub, url.searchParams.get('email')); break;
    case '/test/logout': // as after an administrator ended the sessions
      await (await provider.Client.find('shoebox')).backchannelLogout(sub, url.searchParams.get('sid') ?? undefined);
      break;
    default: return false;
  }
  return true;
}

const callback = provider.callback();
http.createServer(async (req, res) => {
  try {
    const url = new URL(req.url, issuer);
    if (url.pathname.startsWith('/test/')) {
      res.statusCode = await order(url) ? 204 : 404;
      res.end();
    } else if (url.pathname.startsWith('/interaction/')) {
      await interaction(req, res);
    } else {
      await callback(req, res);
    }
  } catch (err) {
    console.error(err);
    res.statusCode = 500;
    res.end(String(err));
  }
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
