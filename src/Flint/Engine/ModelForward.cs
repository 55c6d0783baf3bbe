using Flint.Models;

namespace Flint.Engine;

/// <summary>The forward of a loaded model.</summary>
internal sealed class ModelForward(Model model) : ForwardPass
{
    public override int VocabularySize => model.Config.VocabularySize;

    public override int HiddenLength => model.Config.EmbeddingLength;

    public override int ContextLength => model.Config.ContextLength;

    public override KvShape Shape => model.Config.KvShape;

    public override int MaxBatchRows => model.Options.MaxBatchRows;

    public override int MaxSequences => model.Options.MaxSequences;

    public override int MaxLogitRows => model.Options.MaxLogitRows;

    public override bool Has(ModelAdapter adapter) => adapter.Model == model;

    public override void Forward(Batch batch) => model.Forward(batch);

    public override ReadOnlySpan<float> Logits(int logitRow) => model.Logits(logitRow);

    public override ReadOnlySpan<float> Hidden(int hiddenRow) => model.Hidden(hiddenRow);
}
