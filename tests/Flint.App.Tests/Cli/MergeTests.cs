using Flint.Formats;
using Flint.Weights;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint merge</c>, and <c>--adapter</c> of the verbs that run a model.</summary>
public sealed class MergeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-merge-").FullName;

    private string Model => Path.Combine(_folder, "tiny.gguf");

    private string Adapter => Path.Combine(_folder, "adapter.gguf");

    private string Merged => Path.Combine(_folder, "merged.gguf");

    public MergeTests()
    {
        TinyModel.Write(Model);
        TinyAdapter.Write(Model, Adapter, 1);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_merged_model_answers_as_the_model_with_its_adapter()
    {
        FlintProcess.Result run = FlintProcess.Run(["merge", Model, Adapter, Merged]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        Assert.Matches(@"merged\.gguf: [0-9.]+ KiB; 14 of [0-9]+ tensors changed\n$", run.Output);
        string Answer(params string[] arguments)
        {
            FlintProcess.Result answer = FlintProcess.Run(["run", "--prompt", "hello the", "--temperature", "0", "--max-tokens", "16", "--threads", "1", .. arguments]);
            Assert.Equal((0, ""), (answer.Code, answer.Errors));
            return answer.Output;
        }
        string merged = Answer(Merged);
        Assert.Equal(merged, Answer(Model, "--adapter", Adapter));
        Assert.NotEqual(merged, Answer(Model));
    }

    [Fact]
    public void Changed_tensors_get_the_format_that_is_asked_for()
    {
        Assert.Equal(0, FlintProcess.Run(["merge", Model, Adapter, Merged, "--to", "bf16"]).Code);
        using GgufFile file = GgufFile.Open(Merged);
        Assert.Equal((WeightType.BF16, WeightType.F32), (file.Tensors.Get("blk.0.attn_q.weight").Type, file.Tensors.Get("token_embd.weight").Type));
    }

    [Fact]
    public void Refuses_in_one_line()
    {
        Assert.Contains("general.type", FlintProcess.Run(["merge", Model, Model, Merged]).Complaint, StringComparison.Ordinal);
        Assert.Contains("--to: expected one of", FlintProcess.Run(["merge", Model, Adapter, Merged, "--to", "IQ2_XS"]).Complaint, StringComparison.Ordinal);
        Assert.Contains("no such file", FlintProcess.Run(["run", Model, "--adapter", Merged, "--prompt", "a"]).Complaint, StringComparison.Ordinal);
        Assert.Contains("NAME=PATH", FlintProcess.Run(["serve", Model, "--adapter", Adapter]).Complaint, StringComparison.Ordinal);
        Assert.Contains("MODEL:NAME=PATH", FlintProcess.Run(["serve", Model, Model, "--alias", "a", "--alias", "b", "--adapter", $"x={Adapter}"]).Complaint, StringComparison.Ordinal);
        Assert.Contains("no model is named 'c'", FlintProcess.Run(["serve", Model, "--alias", "a", "--adapter", $"c:x={Adapter}", "--data", _folder]).Complaint, StringComparison.Ordinal);
        Assert.False(File.Exists(Merged));
    }
}
