// The library of WebSockets, as a bundle of its own: a call of kubectl does not load it.

export { WebSocket } from 'ws';
