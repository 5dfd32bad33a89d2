import { Why } from './Why.jsx';

export default function Page() {
  return <Why model="/models/efficientnet-lite0/" />;
}
