using System.Text;
using Flint.Engine;
using Flint.Tests.Models;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Tests.Engine;

public sealed class TokenTableTests
{
    [Fact]
    public void ATokenizersVocabularyIsLaidOutWithTheModelsExtraIdsSilent()
    {
        string path = Path.Combine(Path.GetTempPath(), $"flint-table-{Guid.NewGuid():N}.gguf");
        try
        {
            TinyModel.Write(path);
            using GgufFile file = GgufFile.Open(path);
            Tokenizer tokenizer = Tokenizer.FromGguf(file.Metadata);
            TokenTable table = TokenTable.Of(tokenizer, tokenizer.Count + 5);
            Assert.Equal(tokenizer.Count + 5, table.Count);
            for (int i = 0; i < tokenizer.Count; i++)
            {
                Assert.True(tokenizer.Bytes(i).SequenceEqual(table.Bytes(i)));
                Assert.Equal(tokenizer.IsSpecial(i), table.IsSpecial(i));
                Assert.Equal(tokenizer.EndOfGeneration.Contains(i), table.EndsGeneration(i));
            }
            Assert.True(table.IsSpecial(tokenizer.Count));
            Assert.Equal(0, table.Bytes(tokenizer.Count + 4).Length);
            int eot = Assert.Single(tokenizer.EndOfGeneration, i => tokenizer.Text(i) == "<|eot_id|>");
            Assert.Equal(eot, table.SpecialToken("<|eot_id|>"u8));
            Assert.Equal(-1, table.SpecialToken("a"u8));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void AfterASpecialTokenALeadingSpaceGoesWhereTheVocabularySaysSo()
    {
        byte[][] pieces = ["<s>"u8.ToArray(), " a"u8.ToArray(), "b"u8.ToArray()];
        var special = new HashSet<int> { 0 };
        var strips = new TokenTable(pieces, special, special, special, stripsSpace: true);
        var keeps = new TokenTable(pieces, special, special, special, stripsSpace: false);
        Assert.Equal(["a", " a", "<s>", "b"], new[] { (1, 0), (1, 2), (0, 0), (2, 0) }.Select(t => Encoding.UTF8.GetString(strips.Bytes(t.Item1, t.Item2))));
        Assert.Equal(" a", Encoding.UTF8.GetString(keeps.Bytes(1, 0)));
    }
}
