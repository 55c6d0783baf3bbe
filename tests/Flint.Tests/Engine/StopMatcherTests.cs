using System.Text;
using Flint.Engine;

namespace Flint.Tests.Engine;

public sealed class StopMatcherTests
{
    [Theory]
    [InlineData("hello STOP world", "STOP")]
    [InlineData("ababac and more", "abac")]
    [InlineData("aaab", "aab")]
    [InlineData("über €uro €€ end", "€€")]
    [InlineData("one\n\ntwo", "\n\n")]
    [InlineData("nothing here", "absent")]
    [InlineData("xabcx", "abcd|bc")]
    [InlineData("xabcdx", "bcd|abcd")]
    [InlineData("abc", "abc")]
    public void EverySplitInTwoAndThreeGivesTheSameCut(string text, string stops)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        string[] list = stops.Split('|');
        int expected = Cut(bytes, list);
        for (int i = 0; i <= bytes.Length; i++)
        {
            for (int j = i; j <= bytes.Length; j++)
            {
                var matcher = new StopMatcher(list);
                bool found = false;
                int before = 0;
                foreach (byte[] piece in new[] { bytes[..i], bytes[i..j], bytes[j..] })
                {
                    if (found)
                        break;
                    found = matcher.Push(piece);
                    Assert.True(matcher.Released >= before, "what was released is held back again");
                    Assert.True(expected < 0 || matcher.Released <= expected, "a part of the stop string was released");
                    before = matcher.Released;
                }
                Assert.Equal(expected >= 0, found);
                if (found)
                    Assert.Equal(expected, matcher.Released);
            }
        }
    }

    [Fact]
    public void OnlyWhatMayBecomeAStopStringIsHeldBack()
    {
        var matcher = new StopMatcher(["</s>", "\nUser:"]);
        matcher.Push("hi <"u8);
        Assert.Equal(3, matcher.Released);
        matcher.Push("b>\nUs"u8);
        Assert.Equal(6, matcher.Released);
        matcher.Push("age\n"u8);
        Assert.Equal(12, matcher.Released);
        matcher.Break();
        Assert.Equal(13, matcher.Released);
        Assert.False(matcher.Push("User:"u8)); // its beginning lies before the break
        Assert.True(matcher.Push("x</s>y"u8));
        Assert.Equal(0, matcher.Match);
        Assert.Equal(19, matcher.Released);
    }

    [Fact]
    public void WithoutStopStringsAllIsReleased()
    {
        var matcher = new StopMatcher([]);
        Assert.False(matcher.Push("abc"u8));
        Assert.Equal(3, matcher.Released);
        Assert.Equal(-1, matcher.Match);
    }

    // The match that ends first; of those the one that begins first.
    private static int Cut(byte[] text, string[] stops)
    {
        for (int end = 1; end <= text.Length; end++)
        {
            int longest = stops.Select(Encoding.UTF8.GetBytes)
                .Where(s => text.AsSpan(0, end).EndsWith(s)).Select(s => s.Length).DefaultIfEmpty(0).Max();
            if (longest > 0)
                return end - longest;
        }
        return -1;
    }
}
