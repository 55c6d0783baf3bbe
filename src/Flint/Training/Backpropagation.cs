using Flint.Kernels;
using Flint.Models;

namespace Flint.Training;

/// <summary>
/// One pass over a packed batch: the decoder's blocks forward, the weighted cross entropy of the next tokens, and the gradients
/// back into <see cref="TrainedTensors"/>. The blocks are those of <see cref="Model"/>, by the same <see cref="ModelConfig"/>;
/// only the order of work differs, since what the way back needs is kept.
/// </summary>
internal sealed unsafe class Backpropagation : IDisposable
{
    private readonly ModelConfig _c;
    private readonly TrainingWeights _weights;
    private readonly TrainedTensors _trained;
    private readonly TrainingMemory _m;
    private readonly Team _team;
    private readonly TrainingPasses _passes = TrainingPasses.For(Isa.Floats);
    private readonly int[] _positions;
    private readonly int[] _lengths;
    private readonly int[] _headRows;
    private readonly int[] _headTargets;
    private readonly float[] _headWeights;
    private readonly double[] _losses;
    private readonly float _adapterScale;
    private readonly int _inputStride;
    private TrainingState _s;

    public Backpropagation(ModelConfig config, TrainingWeights weights, TrainedTensors trained, Team team, TrainingSizes sizes, float adapterScale)
    {
        _c = config;
        _weights = weights;
        _trained = trained;
        _team = team;
        _adapterScale = adapterScale;
        _m = new TrainingMemory(config, sizes);
        _positions = new int[sizes.Rows];
        _lengths = new int[sizes.Rows];
        _headRows = new int[sizes.Rows];
        _headTargets = new int[sizes.Rows];
        _headWeights = new float[sizes.Rows];
        _losses = new double[sizes.Rows];
        _inputStride = TrainingSizes.InputStride(config);
        _s = new TrainingState
        {
            Width = config.EmbeddingLength,
            Heads = config.Heads,
            KvHeads = config.KvHeads,
            HeadLength = config.HeadLength,
            ValueLength = config.ValueLength,
            Inner = config.FeedForwardLength,
            InputStride = _inputStride,
            Epsilon = config.NormEpsilon,
            PostEpsilon = config.PostNormEpsilon,
            Pairing = config.RopePairing,
            RopePairs = config.RopeDimensions / 2,
            CosSin = _m.CosSin,
            Embedding = weights.Embedding.Values,
            EmbeddingType = weights.EmbeddingInfo.Type,
            EmbeddingData = weights.EmbeddingInfo.Data,
            EmbeddingRowBytes = Formats.WeightTypes.RowBytes(weights.EmbeddingInfo.Type, config.EmbeddingLength),
            AttentionScale = config.AttentionScale,
            AttentionCap = config.AttentionCap,
            AttentionScratch = _m.AttentionScratch,
            AttentionScratchFloats = TrainingAttention.ScratchFloats(sizes.MaxTokens, config.Heads / config.KvHeads, config.HeadLength, config.ValueLength),
            Vocabulary = config.VocabularySize,
            LogitScale = config.LogitScale,
            LogitCap = config.LogitCap,
        };
        double[] steps = Rope.Frequencies(config.RopeDimensions, config.RopeBase, config.RopeLinearFactor, config.RopeFactors);
        fixed (double* s = steps)
        {
            for (int position = 0; position < sizes.MaxTokens; position++)
                Rope.Angles(s, steps.Length, position, _m.CosSin + (long)position * config.RopeDimensions);
        }
    }

    /// <summary>Computes a batch.</summary>
    /// <param name="batch">The packed examples.</param>
    /// <param name="lossScale">Factor of the loss in the gradients: 1 / Σ weights of the whole optimizer step.</param>
    /// <param name="backward">Whether gradients are added; otherwise only the loss is computed.</param>
    /// <returns>Σ weight · −log p(target).</returns>
    public double Run(PackedBatch batch, float lossScale, bool backward)
    {
        int documents = batch.Starts.Count;
        int[] starts = [.. batch.Starts];
        for (int d = 0; d < documents; d++)
        {
            _lengths[d] = batch.Length(d);
            for (int i = 0; i < _lengths[d]; i++) _positions[starts[d] + i] = i;
        }

        fixed (int* tokens = batch.Tokens, positions = _positions, first = starts, lengths = _lengths)
        {
            _s.Rows = batch.Rows;
            _s.Tokens = tokens;
            _s.Positions = positions;
            _s.Starts = first;
            _s.Lengths = lengths;
            _s.Documents = documents;
            Forward();
            double loss = Loss(batch, lossScale, backward);
            if (backward) Backward(tokens);
            return loss;
        }
    }

    public void Dispose() => _m.Dispose();

    private void Forward()
    {
        TrainingLayer[] layers = _weights.Layers;
        _s.Out = _m.Kept[0].Stream;
        Pass(_passes.Embed);
        if (_c.NormEmbedding) Norm(_m.Kept[0].Stream, default, _m.Kept[0].Stream);
        for (int l = 0; l < layers.Length; l++)
        {
            TrainingLayer w = layers[l];
            ref KeptRows k = ref _m.Kept[l];
            Norm(k.Stream, w.AttentionNorm, _m.Normed);
            Apply(w.Inputs, _m.Normed, k.Inputs, _s.Rows);
            TurnHeads(w, k, l);
            Attention(k, l);
            Pass(_passes.Attend);
            Apply(w.Output, Gated(k), k.Block, _s.Rows);
            Join(k.Stream, k.Block, w.PostAttentionNorm, k.Middle);
            Norm(k.Middle, w.FeedForwardNorm, _m.Normed);
            Apply(w.GateUp, _m.Normed, k.Inner, _s.Rows);
            _s.X = k.Inner;
            _s.Out = _m.Activated;
            Pass(_passes.Activate);
            Apply(w.Down, _m.Activated, k.InnerBlock, _s.Rows);
            Join(k.Middle, k.InnerBlock, w.PostFeedForwardNorm, l + 1 < layers.Length ? _m.Kept[l + 1].Stream : _m.Final);
        }
    }

    /// <summary>The loss over the rows that have a weight, and the gradient of the final stream.</summary>
    private double Loss(PackedBatch batch, float lossScale, bool backward)
    {
        int width = _c.EmbeddingLength, count = 0;
        Norm(_m.Final, _weights.OutputNorm, _m.Normed);
        for (int row = 0; row < batch.Rows; row++)
        {
            if (batch.Weights[row] == 0) continue;
            new ReadOnlySpan<float>(_m.Normed + (long)row * width, width).CopyTo(new Span<float>(_m.HeadRows + (long)count * width, width));
            _headRows[count] = row;
            _headTargets[count] = batch.Targets[row];
            _headWeights[count++] = batch.Weights[row];
        }

        int all = _s.Rows;
        fixed (int* targets = _headTargets)
        fixed (float* weights = _headWeights)
        fixed (double* losses = _losses)
        {
            float* head = _weights.Head.Values(_team, _m.Matrix);
            for (int from = 0; from < count; from += TrainingMemory.LogitRows)
            {
                int rows = Math.Min(TrainingMemory.LogitRows, count - from);
                float* x = _m.HeadRows + (long)from * width;
                Multiply(head, _weights.Head, x, _m.Logits, rows);
                _s.Rows = rows;
                _s.Y = _m.Logits;
                _s.Targets = targets + from;
                _s.Weights = weights + from;
                _s.Losses = losses + from;
                _s.LossScale = lossScale;
                Pass(_passes.Loss);
                if (backward) MultiplyBack(head, _weights.Head, x, _m.Logits, _m.HeadGradient + (long)from * width, rows);
            }
        }

        _s.Rows = all;
        double loss = 0;
        for (int i = 0; i < count; i++) loss += _losses[i];
        if (!backward) return loss;

        new Span<float>(_m.NormedGradient, checked(all * width)).Clear();
        for (int i = 0; i < count; i++)
            new ReadOnlySpan<float>(_m.HeadGradient + (long)i * width, width).CopyTo(new Span<float>(_m.NormedGradient + (long)_headRows[i] * width, width));
        NormBack(_m.Final, _weights.OutputNorm, _m.NormedGradient, _m.StreamGradient, _c.NormEpsilon, add: false);
        return loss;
    }

    private void Backward(int* tokens)
    {
        for (int l = _weights.Layers.Length - 1; l >= 0; l--)
        {
            TrainingLayer w = _weights.Layers[l];
            ref KeptRows k = ref _m.Kept[l];
            FeedForwardBack(w, k);
            AttentionBack(w, k, l);
        }

        if (_weights.Embedding.Gradient == null) return;
        float* gradient = _m.StreamGradient;
        if (_c.NormEmbedding)
        {
            _s.Out = _m.Normed;
            Pass(_passes.Embed);
            NormBack(_m.Normed, default, _m.StreamGradient, _m.BlockGradient, _c.NormEpsilon, add: false);
            gradient = _m.BlockGradient;
        }

        _s.Tokens = tokens;
        _s.Y = gradient;
        _s.Out = _weights.Embedding.Gradient;
        Pass(_passes.ScatterRows);
    }

    private void FeedForwardBack(TrainingLayer w, in KeptRows k)
    {
        float* block = BlockBack(k.InnerBlock, w.PostFeedForwardNorm);
        float* down = w.Down.Values(_team, _m.Matrix);
        InputBack(down, w.Down, block, _m.InnerGradient, _s.Rows);
        _s.X = k.Inner;
        _s.Y = _m.InnerGradient;
        _s.Out = _m.Activated;
        Pass(_passes.ActivateBack); // k.Inner now holds its own gradient
        WeightBack(w.Down, _m.Activated, block, _s.Rows);
        Norm(k.Middle, w.FeedForwardNorm, _m.Normed);
        MultiplyBack(w.GateUp.Values(_team, _m.Matrix), w.GateUp, _m.Normed, k.Inner, _m.NormedGradient, _s.Rows);
        NormBack(k.Middle, w.FeedForwardNorm, _m.NormedGradient, _m.StreamGradient, _c.NormEpsilon, add: true);
    }

    private void AttentionBack(TrainingLayer w, in KeptRows k, int l)
    {
        float* block = BlockBack(k.Block, w.PostAttentionNorm);
        MultiplyBack(w.Output.Values(_team, _m.Matrix), w.Output, Gated(k), block, _m.OutputGradient, _s.Rows);
        if (_c.OutputGate)
        {
            _s.X = k.Attention;
            _s.Y = _m.OutputGradient;
            _s.Out = _m.OutputGradient;
            _s.Inputs = k.Inputs;
            _s.InputGradient = _m.InputGradient;
            Pass(_passes.GateBack);
        }

        TurnHeads(w, k, l);
        Attention(k, l);
        Pass(_passes.AttendBack);
        _s.Roots = _m.Roots;
        _s.KeyRoots = _m.KeyRoots;
        Pass(_passes.TurnBack);
        if (_c.HeadNorms)
        {
            HeadNormWeights(w.QueryNorm, k.Inputs, _m.QueryGradient, _m.Roots, _c.Heads);
            HeadNormWeights(w.KeyNorm, k.Inputs + _c.Heads * _c.HeadLength, _m.KeyGradient, _m.KeyRoots, _c.KvHeads);
        }

        Norm(k.Stream, w.AttentionNorm, _m.Normed);
        MultiplyBack(w.Inputs.Values(_team, _m.Matrix), w.Inputs, _m.Normed, _m.InputGradient, _m.NormedGradient, _s.Rows);
        NormBack(k.Stream, w.AttentionNorm, _m.NormedGradient, _m.StreamGradient, _c.NormEpsilon, add: true);
    }

    // --- the passes, with their operands ---

    private void Pass(delegate*<void*, int, int, void> body)
    {
        fixed (TrainingState* s = &_s)
        {
            s->NextItem = 0;
            _team.Run(body, s);
        }
    }

    private void Norm(float* x, TrainingVector norm, float* into)
    {
        _s.X = x;
        _s.Norm = norm.Values;
        _s.Out = into;
        Pass(_passes.RmsNorm);
    }

    private void NormBack(float* x, TrainingVector norm, float* gradient, float* into, float epsilon, bool add)
    {
        _s.X = x;
        _s.Y = gradient;
        _s.Z = add ? into : null;
        _s.Out = into;
        _s.Norm = norm.Values;
        _s.Roots = _m.Roots;
        float usual = _s.Epsilon;
        _s.Epsilon = epsilon;
        Pass(_passes.NormBack);
        _s.Epsilon = usual;
        if (norm.Gradient != null) NormWeights(x, _c.EmbeddingLength, gradient, _c.EmbeddingLength, _c.EmbeddingLength, norm.Gradient);
    }

    private void NormWeights(float* x, long xStride, float* gradient, long stride, int columns, float* into)
    {
        _s.X = x;
        _s.XStride = xStride;
        _s.Y = gradient;
        _s.YStride = stride;
        _s.Columns = columns;
        _s.Out = into;
        Pass(_passes.NormWeights);
    }

    private void HeadNormWeights(TrainingVector norm, float* raw, float* gradient, float* roots, int heads)
    {
        if (norm.Gradient == null) return;
        for (int h = 0; h < heads; h++)
        {
            _s.Roots = roots + (long)h * _s.Rows;
            NormWeights(raw + h * _c.HeadLength, _inputStride, gradient + h * _c.HeadLength, heads * _c.HeadLength, _c.HeadLength, norm.Gradient);
        }
    }

    private void Join(float* stream, float* block, TrainingVector norm, float* into)
    {
        _s.X = stream;
        _s.Y = block;
        _s.Norm = norm.Values;
        _s.Out = into;
        Pass(_passes.Join);
    }

    /// <summary>The gradient of a block's output: the stream's own, or what its norm lets through.</summary>
    private float* BlockBack(float* block, TrainingVector norm)
    {
        if (norm.Values == null) return _m.StreamGradient;
        NormBack(block, norm, _m.StreamGradient, _m.BlockGradient, _c.PostNormEpsilon, add: false);
        return _m.BlockGradient;
    }

    private void TurnHeads(TrainingLayer w, in KeptRows k, int l)
    {
        _s.Inputs = k.Inputs;
        _s.Query = _m.Query;
        _s.Key = _m.Key;
        _s.Norm = w.QueryNorm.Values;
        _s.KeyNorm = w.KeyNorm.Values;
        _s.Rotate = _c.RopeDimensions > 0 && (_c.Windows[l] > 0 || _c.RopeOnFullLayers);
        Pass(_passes.TurnHeads);
    }

    private void Attention(in KeptRows k, int l)
    {
        _s.AttentionOut = k.Attention;
        _s.LogSums = k.LogSums;
        _s.AttentionGradient = _m.OutputGradient;
        _s.QueryGradient = _m.QueryGradient;
        _s.KeyGradient = _m.KeyGradient;
        _s.InputGradient = _m.InputGradient;
        _s.Window = _c.Windows[l];
    }

    private float* Gated(in KeptRows k)
    {
        if (!_c.OutputGate) return k.Attention;
        _s.X = k.Attention;
        _s.Inputs = k.Inputs;
        _s.Out = _m.Gated;
        Pass(_passes.Gate);
        return _m.Gated;
    }

    // --- matrix products ---

    /// <summary>y = x·Wᵀ, and what adapters add.</summary>
    private void Apply(TrainingMatrix w, float* x, float* y, int rows) => Multiply(w.Values(_team, _m.Matrix), w, x, y, rows);

    private void Multiply(float* values, TrainingMatrix w, float* x, float* y, int rows)
    {
        Product(new DenseProduct { A = x, AStride = w.Columns, B = values, BStride = w.Columns, BTransposed = true, C = y, CStride = w.Rows, M = rows, N = w.Rows, K = w.Columns });
        foreach (AdapterPart part in w.Adapters)
        {
            Low(part, w.Columns, x, rows);
            Product(new DenseProduct
            {
                A = _m.Low, AStride = part.Rank,
                B = _trained.ValuesOf(part.B), BStride = part.Rank, BTransposed = true,
                C = y + part.FirstRow, CStride = w.Rows,
                M = rows, N = part.Rows, K = part.Rank,
                Accumulate = true,
            });
        }
    }

    /// <summary>Low = scale·x·Aᵀ.</summary>
    private void Low(AdapterPart part, int columns, float* x, int rows)
    {
        Product(new DenseProduct { A = x, AStride = columns, B = _trained.ValuesOf(part.A), BStride = columns, BTransposed = true, C = _m.Low, CStride = part.Rank, M = rows, N = part.Rank, K = columns });
        Scale(_m.Low, (long)rows * part.Rank);
    }

    /// <summary>dx = dy·W, and the weights' gradients.</summary>
    private void MultiplyBack(float* values, TrainingMatrix w, float* x, float* dy, float* dx, int rows)
    {
        InputBack(values, w, dy, dx, rows);
        WeightBack(w, x, dy, rows);
    }

    private void InputBack(float* values, TrainingMatrix w, float* dy, float* dx, int rows)
    {
        Product(new DenseProduct { A = dy, AStride = w.Rows, B = values, BStride = w.Columns, C = dx, CStride = w.Columns, M = rows, N = w.Columns, K = w.Rows });
        foreach (AdapterPart part in w.Adapters)
        {
            LowBack(part, w, dy, rows);
            Product(new DenseProduct
            {
                A = _m.LowGradient, AStride = part.Rank,
                B = _trained.ValuesOf(part.A), BStride = w.Columns,
                C = dx, CStride = w.Columns,
                M = rows, N = w.Columns, K = part.Rank,
                Accumulate = true,
            });
        }
    }

    /// <summary>dW += dyᵀ·x.</summary>
    private void WeightBack(TrainingMatrix w, float* x, float* dy, int rows)
    {
        if (w.Gradient != null)
            Product(new DenseProduct { A = dy, AStride = w.Rows, ATransposed = true, B = x, BStride = w.Columns, C = w.Gradient, CStride = w.Columns, M = w.Rows, N = w.Columns, K = rows, Accumulate = true });
        foreach (AdapterPart part in w.Adapters)
        {
            Low(part, w.Columns, x, rows);
            Product(new DenseProduct
            {
                A = dy + part.FirstRow, AStride = w.Rows, ATransposed = true,
                B = _m.Low, BStride = part.Rank,
                C = _trained.GradientsOf(part.B), CStride = part.Rank,
                M = part.Rows, N = part.Rank, K = rows,
                Accumulate = true,
            });
            LowBack(part, w, dy, rows);
            Product(new DenseProduct
            {
                A = _m.LowGradient, AStride = part.Rank, ATransposed = true,
                B = x, BStride = w.Columns,
                C = _trained.GradientsOf(part.A), CStride = w.Columns,
                M = part.Rank, N = w.Columns, K = rows,
                Accumulate = true,
            });
        }
    }

    /// <summary>LowGradient = scale·dy·B.</summary>
    private void LowBack(AdapterPart part, TrainingMatrix w, float* dy, int rows)
    {
        Product(new DenseProduct
        {
            A = dy + part.FirstRow, AStride = w.Rows,
            B = _trained.ValuesOf(part.B), BStride = part.Rank,
            C = _m.LowGradient, CStride = part.Rank,
            M = rows, N = part.Rank, K = part.Rows,
        });
        Scale(_m.LowGradient, (long)rows * part.Rank);
    }

    private void Product(in DenseProduct product) => DenseGemm.Run(_team, product, _m.Panels, _m.Scratch);

    private void Scale(float* x, long n)
    {
        for (long i = 0; i < n; i++) x[i] *= _adapterScale;
    }
}
