import { DapClient, tinyFolder } from './client.js';

export interface SessionFixture {
  /** The tiny launch's folder; one for the suite. */
  folder: ReturnType<typeof tinyFolder>;
  /** A new adapter for each test. */
  client: DapClient;
}

/** Called in a suite: hands its folder and each test's client to `use`, and puts both away again. */
export function useSession(
  use: (session: SessionFixture) => void,
  options: { readonly stoppedAtEntry?: boolean } = {},
): void {
  let folder: ReturnType<typeof tinyFolder>;
  let client: DapClient;
  before(() => {
    folder = tinyFolder();
  });
  after(() => folder.remove());
  beforeEach(async () => {
    client = new DapClient();
    use({ folder, client });
    if (!options.stoppedAtEntry) return;
    await client.start(folder.manifest, { stopOnEntry: true });
    await client.event('stopped');
  });
  afterEach(() => client.send('disconnect'));
}
