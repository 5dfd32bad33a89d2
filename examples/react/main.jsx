import { createRoot } from 'react-dom/client';
import { Why } from './Why.jsx';

createRoot(document.getElementById('root')).render(<Why model="models/efficientnet-lite0/" />);
