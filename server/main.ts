/** Entry of the language server's process. The transport comes from the arguments: --stdio, --node-ipc, --pipe, --socket. */
import { createConnection, ProposedFeatures } from 'vscode-languageserver/node';
import { createFileSource } from '../platform/file-source.js';
import { nativeCrypto } from '../platform/native-crypto.js';
import { createFolderListing } from './folder-listing.js';
import { startServer } from './server.js';

const connection = createConnection(ProposedFeatures.all);
startServer(connection, { createFiles: createFileSource, crypto: nativeCrypto, createFolderListing });
